"""`provider product …` and `provider seed`: what can be ordered."""

from importlib.resources import files
from pathlib import Path
from typing import Any

import click
from sqlalchemy import select
from sqlalchemy.orm import Session

from provider.cli.common import json_option, open_services, print_json, print_record, print_records
from provider.core.kinds import KINDS, import_document
from provider.core.products import Product
from provider.core.products.documents import Document, parse_documents, read_file, to_yaml
from provider.errors import Conflict, Invalid, NotFound


@click.group()
def product() -> None:
    """What can be ordered: tests, interview templates, packages."""


@product.command("list")
@json_option
def list_(as_json: bool) -> None:
    """List the products."""
    with open_services() as services, services.db.reading() as session:
        found = session.scalars(select(Product).order_by(Product.kind, Product.key))
        records = [_product_record(each) for each in found]
    columns = {
        "Key": "key",
        "Kind": "kind",
        "Name": "name",
        "State": "state",
        "Version": "version",
        "Newest": "newest",
    }
    print_records(records, columns, as_json=as_json)


@product.command()
@click.argument("key", metavar="KEY")
@json_option
def show(key: str, as_json: bool) -> None:
    """Show a product and its versions."""
    with open_services() as services, services.db.reading() as session:
        found = find_product(session, key)
        record, versions = (
            _product_record(found),
            [_version_record(each) for each in found.versions],
        )
    if as_json:
        print_json(record | {"versions": versions})
        return
    print_record(record, as_json=False)
    click.echo()
    columns = {"Version": "number", "State": "state", "Published": "published_at", "Hash": "hash"}
    print_records(versions, columns, as_json=False)


@product.command("export")
@click.argument("key", metavar="KEY")
def export_(key: str) -> None:
    """Print a product's newest version as the YAML that `import` reads."""
    with open_services() as services, services.db.reading() as session:
        found = find_product(session, key)
        if not found.versions:
            raise Conflict(f"{found.key} has no version yet")
        document = Document(found.kind, found.key, found.name, found.versions[-1].content)
    click.echo(to_yaml(document), nl=False)


@product.command("import")
@click.argument("file", metavar="FILE", type=click.Path(path_type=Path))
@click.option("--publish", is_flag=True, help="Let new orders have it at once.")
def import_(file: Path, publish: bool) -> None:
    """Read products from a YAML file, as drafts; all of them or none."""
    documents = read_file(file)
    with open_services() as services, services.db.writing() as session:
        said = []
        for document in documents:
            made, version = import_document(session, document, services.now())
            if publish:
                made.publish(services.now())
            number = made.versions[-1].number
            word = "unchanged" if version is None else "new"
            said.append(f"{made.kind}/{made.key} version {number}: {word}, {made.state}")
    click.echo("\n".join(said))


@product.command()
@click.argument("key", metavar="KEY")
def publish(key: str) -> None:
    """Let new orders have a product's newest version."""
    with open_services() as services, services.db.writing() as session:
        version = find_product(session, key).publish(services.now())
    click.echo(f"New orders of {key} get version {version.number}.")


@product.command()
@click.argument("key", metavar="KEY")
def archive(key: str) -> None:
    """Take a product off every list; what is ordered goes on, `publish` brings it back."""
    with open_services() as services, services.db.writing() as session:
        find_product(session, key).archive(services.now())
    click.echo(f"{key} is archived.")


@click.command()
def seed() -> None:
    """Add the sample products of each kind, published; those that are there stay as they are."""
    with open_services() as services, services.db.writing() as session:
        added = []
        for document in load_sample_documents():
            if _matching_products(session, document.kind, document.key):
                continue
            made, _ = import_document(session, document, services.now())
            made.publish(services.now())
            added.append(f"{made.kind}/{made.key}")
    click.echo("\n".join(f"Added {each}" for each in added) or "The samples are there already.")


def load_sample_documents() -> list[Document]:
    """Return the sample products that come with the program."""
    folder = files("provider") / "samples"
    found = sorted((each for each in folder.iterdir() if each.name.endswith(".yaml")), key=str)
    return [
        document
        for each in found
        for document in parse_documents(each.read_text("utf-8"), each.name)
    ]


def find_product(session: Session, key: str) -> Product:
    """Return the product called KEY, or KIND/KEY where two kinds share a key."""
    kind, slash, short = key.rpartition("/")
    if slash and kind not in KINDS:
        raise Invalid(f"“{kind}” is not a kind: there are {', '.join(KINDS)}")
    found = _matching_products(session, kind, short)
    if not found:
        raise NotFound(f"There is no product “{key}”: see `provider product list`")
    if len(found) > 1:
        both = " or ".join(f"{each.kind}/{each.key}" for each in found)
        raise Conflict(f"Several products are called {key}: write {both}")
    return found[0]


def _matching_products(session: Session, kind: str, key: str) -> list[Product]:
    query = select(Product).where(Product.key == key).order_by(Product.kind)
    return list(session.scalars(query.where(Product.kind == kind) if kind else query))


def _product_record(product: Product) -> dict[str, Any]:
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


def _version_record(version: Any) -> dict[str, Any]:
    return {
        "number": version.number,
        "state": version.state,
        "created_at": version.created_at,
        "published_at": version.published_at,
        "hash": version.digest[:12],
    }
