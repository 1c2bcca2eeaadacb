"""Image processing: illumination, scaling, resizing, quality, nuclei, RGB, orientation."""
