"""`python train.py ...` is `pochi train ...`."""

# Shell completion looks for the text @hydra.main in this file; the app is in pochitrain/cli/app.py.
import sys

from pochitrain.cli.main import main

if __name__ == "__main__":
    main(["train", *sys.argv[1:]], prog=sys.argv[0])
