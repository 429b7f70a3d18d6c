"""The one rule of predictions: where the record's guard holds, they lead to the same decision."""

from dataclasses import replace

from sagas.decision import Decide, SagaState, Transition, transition

__all__ = ["check_prediction", "is_believed"]


def is_believed(predicted: SagaState, saga: SagaState) -> bool:
    """Tell whether the record's guard takes the prediction for right."""
    return saga.turn is not None and all(
        getattr(saga, each) == getattr(predicted, each) for each in ("id", "turn", "epoch", "plan")
    )


def check_prediction(predicted: SagaState, saga: SagaState, decide: Decide) -> Transition | None:
    """Check what is decided on a prediction against the saga itself; None where it is not used."""
    if not is_believed(predicted, saga):
        return None
    on_prediction = transition(replace(predicted, key=saga.key, now=saga.now), decide)
    on_saga = transition(saga, decide)
    assert on_prediction.decision == on_saga.decision
    assert on_prediction.entries == on_saga.entries
    assert on_prediction.alert == on_saga.alert
    return on_prediction
