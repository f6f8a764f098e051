#!/bin/sh
# Succeeds if there is a Chromium for the browser tests; installs Debian's where that is possible.
for name in chromium chromium-browser google-chrome; do
  command -v "$name" > /dev/null && exit 0
done
if command -v apt-get > /dev/null && [ "$(id -u)" = 0 ]; then
  apt-get update --quiet && apt-get install --quiet --yes --no-install-recommends chromium && exit 0
fi
echo "Browser tests skipped: Chromium is not installed and cannot be installed here (apt-get install chromium)." >&2
exit 1
