"""The domain. It does not depend on HTTP or on an ATS."""
