"""The domain. It knows no HTTP and no ATS."""
