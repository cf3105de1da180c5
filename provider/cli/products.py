"""`provider product …` and `provider seed`: what can be ordered."""

from importlib.resources import files
from pathlib import Path
from typing import Any

import click
from sqlalchemy import select
from sqlalchemy.orm import Session

from provider.cli.shell import details, json_option, listing, opened, put_json
from provider.errors import Conflict, Invalid, NotFound
from provider.kinds import KINDS, keep
from provider.kinds.document import Document, export, read, read_file
from provider.orders import Product


@click.group()
def product() -> None:
    """What can be ordered: tests, interview templates, packages."""


@product.command("list")
@json_option
def list_(as_json: bool) -> None:
    """List the products."""
    with opened() as house, house.db.reading() as session:
        found = session.scalars(select(Product).order_by(Product.kind, Product.key))
        records = [_record(each) for each in found]
    columns = {
        "Key": "key", "Kind": "kind", "Name": "name", "State": "state",
        "Version": "version", "Newest": "newest",
    }  # fmt: skip
    listing(records, columns, as_json=as_json)


@product.command()
@click.argument("key", metavar="KEY")
@json_option
def show(key: str, as_json: bool) -> None:
    """Show a product and its versions."""
    with opened() as house, house.db.reading() as session:
        found = named(session, key)
        record, versions = _record(found), [_version(each) for each in found.versions]
    if as_json:
        put_json(record | {"versions": versions})
        return
    details(record, as_json=False)
    click.echo()
    columns = {"Version": "number", "State": "state", "Published": "published_at", "Hash": "hash"}
    listing(versions, columns, as_json=False)


@product.command("export")
@click.argument("key", metavar="KEY")
def export_(key: str) -> None:
    """Print a product's newest version as the YAML that `import` reads."""
    with opened() as house, house.db.reading() as session:
        found = named(session, key)
        if not found.versions:
            raise Conflict(f"{found.key} has no version yet")
        document = Document(found.kind, found.key, found.name, found.versions[-1].content)
    click.echo(export(document), nl=False)


@product.command("import")
@click.argument("file", metavar="FILE", type=click.Path(path_type=Path))
@click.option("--publish", is_flag=True, help="Let new orders have it at once.")
def import_(file: Path, publish: bool) -> None:
    """Read products from a YAML file, as drafts; all of them or none."""
    documents = read_file(file)
    with opened() as house, house.db.writing() as session:
        said = []
        for document in documents:
            made, version = keep(session, document, house.now())
            if publish:
                made.publish(house.now())
            number = made.versions[-1].number
            word = "unchanged" if version is None else "new"
            said.append(f"{made.kind}/{made.key} version {number}: {word}, {made.state}")
    click.echo("\n".join(said))


@product.command()
@click.argument("key", metavar="KEY")
def publish(key: str) -> None:
    """Let new orders have a product's newest version."""
    with opened() as house, house.db.writing() as session:
        version = named(session, key).publish(house.now())
    click.echo(f"New orders of {key} get version {version.number}.")


@product.command()
@click.argument("key", metavar="KEY")
def archive(key: str) -> None:
    """Take a product off every list; what is ordered goes on, `publish` brings it back."""
    with opened() as house, house.db.writing() as session:
        named(session, key).archive(house.now())
    click.echo(f"{key} is archived.")


@click.command()
def seed() -> None:
    """Add the sample products of each kind, published; those that are there stay as they are."""
    with opened() as house, house.db.writing() as session:
        added = []
        for document in samples():
            if _find(session, document.kind, document.key):
                continue
            made, _ = keep(session, document, house.now())
            made.publish(house.now())
            added.append(f"{made.kind}/{made.key}")
    click.echo("\n".join(f"Added {each}" for each in added) or "The samples are there already.")


def samples() -> list[Document]:
    """Return the sample products that come with the program."""
    folder = files("provider") / "samples"
    found = sorted((each for each in folder.iterdir() if each.name.endswith(".yaml")), key=str)
    return [document for each in found for document in read(each.read_text("utf-8"), each.name)]


def named(session: Session, key: str) -> Product:
    """Return the product called KEY, or KIND/KEY where two kinds share a key."""
    kind, slash, short = key.rpartition("/")
    if slash and kind not in KINDS:
        raise Invalid(f"“{kind}” is not a kind: there are {', '.join(KINDS)}")
    found = _find(session, kind, short)
    if not found:
        raise NotFound(f"There is no product “{key}”: see `provider product list`")
    if len(found) > 1:
        both = " or ".join(f"{each.kind}/{each.key}" for each in found)
        raise Conflict(f"Several products are called {key}: write {both}")
    return found[0]


def _find(session: Session, kind: str, key: str) -> list[Product]:
    query = select(Product).where(Product.key == key).order_by(Product.kind)
    return list(session.scalars(query.where(Product.kind == kind) if kind else query))


def _record(product: Product) -> dict[str, Any]:
    current = [each for each in product.versions if each.id == product.current_version_id]
    return {
        "key": product.key,
        "kind": product.kind,
        "name": product.name,
        "state": product.state,
        "version": current[0].number if current else None,
        "newest": product.versions[-1].number if product.versions else None,
        "id": product.public_id,
        "created_at": product.created_at,
    }


def _version(version: Any) -> dict[str, Any]:
    return {
        "number": version.number,
        "state": version.state,
        "created_at": version.created_at,
        "published_at": version.published_at,
        "hash": version.digest[:12],
    }
