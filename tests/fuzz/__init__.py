"""Fuzz targets: what must hold whatever the input is. README.md beside this file tells more."""


def lenient(data: bytes) -> str:
    """Bytes as text, with encoded surrogates taken for surrogates if nothing else is wrong."""
    try:
        return data.decode(errors="surrogatepass")
    except UnicodeDecodeError:
        return data.decode(errors="surrogateescape")
