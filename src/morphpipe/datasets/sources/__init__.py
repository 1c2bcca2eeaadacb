"""RxRx1, BBBC021, the Cell Painting Gallery, and one's own plates."""
