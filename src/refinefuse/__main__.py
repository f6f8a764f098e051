"""`python -m refinefuse`."""

from refinefuse.cli import main

raise SystemExit(main())
