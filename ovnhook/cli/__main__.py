"""``python3 -m ovnhook.cli``."""

import sys

from ovnhook.cli.main import main

sys.exit(main())
