"""The core makes all decisions and does no I/O: it reads no clock, file or environment."""
