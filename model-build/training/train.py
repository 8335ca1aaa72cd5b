"""SageMaker's entry point: `python train.py --network enet --epochs 60 ...`.

Everything else comes from SageMaker's environment (SM_CHANNEL_TRAIN and so on);
README.md beside this file says how to start it there and at a desk.
"""

import logging
import sys

from brainseg_training import job

if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    try:
        told = job.from_environment(sys.argv[1:])
    except ValueError as error:
        sys.exit(f"train.py: {error}")
    job.run(told)
