"""Planning of runs: paths, params, downloads and estimates."""
