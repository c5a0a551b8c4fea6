"""The data of benchmarks: search paths, downloads, preparation, checks and the cache."""
