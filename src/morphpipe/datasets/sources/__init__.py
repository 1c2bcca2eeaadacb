"""Sources of datasets: RxRx1, BBBC021, the Cell Painting Gallery, and user plates."""
