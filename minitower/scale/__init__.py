"""Beyond one process: Milvus, Dask, files of vectors."""
