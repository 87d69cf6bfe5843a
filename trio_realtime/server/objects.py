"""Storage of artifacts by URL: a directory, S3, Azure Blob Storage or Google Cloud Storage."""
