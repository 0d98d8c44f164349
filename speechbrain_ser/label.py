"""Labels any speech by a trained model: `python -m speechbrain_ser.label`."""

import sys

from speechbrain_ser.inference.label import main

if __name__ == "__main__":
    sys.exit(main())
