#!/usr/bin/env python3
"""Writes the training sentences of CLINC150, in scope and out of it, a line each: texts without labels.

    scripts/clinc-texts.py data_full.json > clinc-train.txt

Source of the set: Larson et al. 2019, CC BY 3.0. Validation and test sentences are left out.
"""

import json
import sys

if len(sys.argv) != 2:
    sys.exit(__doc__)
with open(sys.argv[1], encoding="utf-8") as file:
    sets = json.load(file)
for split in ("train", "oos_train"):
    for text, _ in sets[split]:
        print(" ".join(text.split()))
