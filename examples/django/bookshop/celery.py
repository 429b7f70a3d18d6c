import os

from celery import Celery

from sagas.contrib import django as django_sagas

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "bookshop.settings")

app = Celery("bookshop")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
django_sagas.setup(app)  # The record is in DATABASES["default"].
