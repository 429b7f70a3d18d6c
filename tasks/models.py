"""What services exchange: the order, and the output of each step.

All money is in euros, as a Decimal with two places. One loyalty point pays one euro.
"""

from decimal import Decimal
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

__all__ = [
    "Address",
    "Confirmation",
    "Item",
    "Mail",
    "Order",
    "Payment",
    "PointsChange",
    "Reservation",
    "Shipment",
]

Id = Annotated[str, Field(min_length=1, max_length=64)]
Text = Annotated[str, Field(min_length=1, max_length=200)]
Euro = Annotated[Decimal, Field(ge=0, max_digits=12, decimal_places=2)]


class Model(BaseModel):
    """Immutable and strict about names: a misspelt field is an error, not a default."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Item(Model):
    """A quantity of one product; *price* is for one piece."""

    product_id: Id
    quantity: int = Field(gt=0, le=10_000)
    price: Euro


class Address(Model):
    """Where a parcel goes; *country* is a two-letter ISO 3166 code."""

    name: Text
    street: Text
    city: Text
    postcode: Annotated[str, Field(max_length=16)] | None = None
    country: str = Field(pattern="^[A-Z]{2}$")


class Order(Model):
    """An order as the customer sent it; it is validated to add up."""

    order_id: Id
    customer_id: Id
    items: tuple[Item, ...] = Field(min_length=1)
    total_amount: Euro
    payment_method: Id
    points_to_use: int = Field(default=0, ge=0)
    shipping_address: Address

    @model_validator(mode="after")
    def _adds_up(self) -> Self:
        total = sum((item.price * item.quantity for item in self.items), Decimal())
        if self.total_amount != total:
            raise ValueError(
                f"total_amount is {self.total_amount}, but the items add up to {total}"
            )
        if len({item.product_id for item in self.items}) < len(self.items):
            raise ValueError("a product is listed twice: raise its quantity instead")
        if self.points_to_use > total:
            raise ValueError(
                f"points_to_use is {self.points_to_use}, more than the order's total of {total}"
            )
        return self

    @property
    def amount_due(self) -> Decimal:
        """What is left to pay with money."""
        return self.total_amount - self.points_to_use

    @property
    def points_earned(self) -> int:
        """One percent of the total, in whole points."""
        return int(self.total_amount / 100)


class Confirmation(Model):
    """The order is recorded."""

    order_id: str
    lines: int


class Reservation(Model):
    """The stock of every item is reserved."""

    order_id: str
    pieces: int


class Payment(Model):
    """The customer's money is taken."""

    order_id: str
    method: str
    amount: Decimal


class PointsChange(Model):
    """The customer's points have changed, by fewer if *points* is negative."""

    customer_id: str
    points: int


class Shipment(Model):
    """A carrier has the parcel."""

    carrier: str
    tracking_number: str


class Mail(Model):
    """A message has been sent to the customer."""

    recipient: str
    subject: str
