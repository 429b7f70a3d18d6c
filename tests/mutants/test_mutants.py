"""Every mutant applies, and its tests exist: ``make mutants`` does the rest."""

import ast
import re
from dataclasses import replace
from pathlib import Path

import pytest

import sagas
from tests.mutants.catalogue import MUTANTS
from tests.mutants.edit import Package
from tests.mutants.mutant import Mutant

ROOT = Path(__file__).parent.parent.parent


@pytest.fixture(scope="module")
def package() -> Package:
    return Package(Path(sagas.__file__).parent)


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_a_mutant_applies_exactly_once(mutant: Mutant, package: Package) -> None:
    file, text = package.edited(mutant.target, mutant.old, mutant.new)
    assert text != ast.unparse(ast.parse((ROOT / file).read_text("utf-8")))


def test_no_two_mutants_share_a_name_or_an_edit() -> None:
    assert len({mutant.name for mutant in MUTANTS}) == len(MUTANTS)
    assert len({replace(mutant, name="") for mutant in MUTANTS}) == len(MUTANTS)


@pytest.mark.parametrize("tests", sorted({mutant.tests for mutant in MUTANTS}), ids=" ".join)
def test_the_tests_of_a_mutant_exist(tests: tuple[str, ...]) -> None:
    files = [(ROOT / word).read_text("utf-8") for word in tests if word.endswith(".py")]
    assert files
    names = re.findall(r"^def (test_\w+)", "".join(files), re.MULTILINE)
    selected = re.search(r"\((.*)\)$", tests[-1])
    for word in selected[1].split(" or ") if selected else []:
        assert [name for name in names if word in name], word


MODULE = '''
class Shop:
    """Sells."""

    def sell(self, order):
        if order.paid and (order.total > 0
                           or order.gift):  # a comment
            return ship(order, notify=True, at=now())
        return None
'''


def edited(tmp_path: Path, old: str, new: str, *, target: str = "Shop.sell") -> str:
    (tmp_path / "shop" / "deep").mkdir(parents=True)
    (tmp_path / "shop" / "deep" / "anywhere.py").write_text(MODULE)
    file, text = Package(tmp_path / "shop").edited(target, old, new)
    assert str(file) == "shop/deep/anywhere.py"
    return text


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (
            "order.paid and (order.total > 0 or order.gift)",
            "order.paid",
            "if order.paid:",
        ),
        ("order.gift", "True", "if order.paid and (order.total > 0 or True):"),
        ("notify = True", "", "return ship(order, at=now())"),
        ("notify = True\nat = now()", "at = now()", "return ship(order, at=now())"),
        ("return None", "return 1", "        return 1"),
        ("now()", "later", "at=later)"),
    ],
)
def test_an_edit_finds_its_place_whatever_the_layout(
    old: str, new: str, expected: str, tmp_path: Path
) -> None:
    assert expected in edited(tmp_path, old, new)


@pytest.mark.parametrize(
    ("target", "old"),
    [("Shop.sell", "order.refunded"), ("Shop.sell", "order"), ("sell", "order.gift")],
    ids=["gone", "ambiguous", "elsewhere"],
)
def test_an_edit_whose_place_is_not_clear_is_refused(target: str, old: str, tmp_path: Path) -> None:
    with pytest.raises(LookupError, match="must be there once"):
        edited(tmp_path, old, "None", target=target)
