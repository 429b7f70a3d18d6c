"""Sagas in a Django project: its transactions, its migrations, its databases and its commands.

``start`` joins the transaction of a Django connection, ``once`` is the barrier in it, and
``setup`` keeps the record in one of ``DATABASES``. With ``"sagas.contrib.django"`` in
``INSTALLED_APPS``, ``manage.py migrate`` creates the tables of the barrier and of the record, and
``manage.py saga`` is the command line.
"""

from sagas.contrib.django.record import database_url, setup
from sagas.contrib.django.transactions import once, start, start_many

__all__ = ["database_url", "once", "setup", "start", "start_many"]
