"""The shop's process: ``python -m tests.system.place_orders COUNT`` places COUNT orders."""

import sys

from tasks.sample import orders
from tasks.shop import place_order

if __name__ == "__main__":
    sample = list(orders())
    for number in range(int(sys.argv[1])):
        turn, place = divmod(number, len(sample))
        order = sample[place]
        place_order(order.model_copy(update={"order_id": f"{order.order_id}-{turn}"}))
