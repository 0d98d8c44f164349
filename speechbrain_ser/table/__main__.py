"""A paper's table in one command.

> python -m speechbrain_ser.table TABLE.yaml --data_folder CORPUS

makes every run of the table that has no result yet, prints the table, and
writes it as Markdown, CSV, LaTeX and a page for the browser.
"""

import sys

from speechbrain_ser.table.arguments import parse

if __name__ == "__main__":
    parse(sys.argv[1:])  # --help is answered before anything else loads
    from speechbrain_ser.table.command import run

    run(sys.argv[1:])
