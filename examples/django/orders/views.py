import json

from django.db import transaction
from django.http import HttpRequest, JsonResponse
from django.shortcuts import get_object_or_404
from django.views.decorators.http import require_GET, require_POST

from orders.models import Order
from orders.tasks import Purchase, order_saga
from sagas.contrib.django import start


@require_POST  # type: ignore[untyped-decorator]
def place(request: HttpRequest) -> JsonResponse:
    wanted = json.loads(request.body)
    with transaction.atomic():  # The order and its saga commit together, or neither does.
        order = Order.objects.create(title=wanted["title"], copies=wanted["copies"])
        start(order_saga, Purchase(order=order.pk, **wanted), key=f"order-{order.pk}")
    return JsonResponse({"order": order.pk}, status=202)


@require_GET  # type: ignore[untyped-decorator]
def show(_: HttpRequest, number: int) -> JsonResponse:
    order = get_object_or_404(Order, pk=number)
    return JsonResponse({"order": order.pk, "status": order.status})
