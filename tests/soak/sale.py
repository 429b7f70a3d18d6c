"""One purchase to order: ``python -m tests.soak.sale SAGA PURCHASE-AS-JSON``."""

import sys

from sagas.record.database import Database
from tests.soak import app as soak
from tests.soak.shop import sell_until_sold

if __name__ == "__main__":
    saga = {saga.name: saga for saga in (soak.tip, soak.short, soak.parcel)}[sys.argv[1]]
    bought = soak.Purchase.model_validate_json(sys.argv[2])
    sell_until_sold(Database(soak.app.conf.saga_database_url), [(saga, bought)])
