#!/bin/sh
# Succeeds while the server of this container answers.
exec python - <<'PYTHON'
import os
import urllib.request
from urllib.parse import urlsplit

# Under the server's public name, because others may be refused.
host = urlsplit(os.environ.get("PROVIDER_BASE_URL", "")).netloc or "127.0.0.1"
url = f"http://127.0.0.1:{os.environ.get('PORT', '8000')}/health"
request = urllib.request.Request(url, headers={"Host": host})
opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
opener.open(request, timeout=4).close()
PYTHON
