"""Beyond one process: Milvus, Dask, files of vectors. Chapters 20 and 21."""
