"""`provider product …` and `provider seed`."""

from pathlib import Path
from typing import Any

import click
from sqlalchemy import select
from sqlalchemy.orm import Session

from provider.cli.common import (
    json_option,
    open_services,
    print_json,
    print_record,
    print_records,
    record_command,
)
from provider.core.audit import Action
from provider.core.kinds import KINDS, document_warnings, import_document, store_files
from provider.core.products import Product, ProductVersion
from provider.core.products.choice import find_by_key, list_by_key
from provider.core.products.documents import Document, read_file, to_yaml
from provider.core.products.files import read_beside, write_files
from provider.core.products.samples import load_sample_documents
from provider.core.products.text_files import include_text_files
from provider.errors import Conflict, Invalid
from provider.services import Services


@click.group()
def product() -> None:
    """Products to order: tests, interview templates, packages."""


@product.command("list")
@json_option
def list_(as_json: bool) -> None:
    """List the products."""
    with open_services() as services, services.db.reading() as session:
        products = session.scalars(select(Product).order_by(Product.kind, Product.key))
        records = [_product_record(product) for product in products]
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
        product = find_product(session, key)
        record = _product_record(product)
        versions = [_version_record(version) for version in product.versions]
    if as_json:
        print_json(record | {"versions": versions})
        return
    print_record(record, as_json=False)
    click.echo()
    columns = {"Version": "number", "State": "state", "Published": "published_at", "Hash": "hash"}
    print_records(versions, columns, as_json=False)


@product.command("export")
@click.argument("key", metavar="KEY")
@click.option(
    "--to",
    "file",
    metavar="FILE",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write this file, and the pictures and sounds that it names beside it.",
)
def export_(key: str, file: Path | None) -> None:
    """Print a product's newest version as the YAML that `import` reads."""
    with open_services() as services:
        with services.db.reading() as session:
            product = find_product(session, key)
            if not product.versions:
                raise Conflict(f"{product.key} has no version yet")
            newest = product.versions[-1]
            document = Document(product.kind, product.key, product.name, newest.content)
            files = list(newest.files)
        if file is not None:
            written = [*write_files(files, services.media, file.parent), file]
            file.write_text(to_yaml(document), "utf-8")
            click.echo("\n".join(f"Wrote {path}" for path in written))
            return
    click.echo(to_yaml(document), nl=False)
    if files:
        names = ", ".join(stored.name for stored in files)
        click.echo(f"This document names files: {names}. --to FILE writes them too.", err=True)


@product.command("import")
@click.argument("file", metavar="FILE", type=click.Path(path_type=Path))
@click.option(
    "--publish", is_flag=True, help="Publish each product, so that new orders use it at once."
)
def import_(file: Path, publish: bool) -> None:
    """Import products from a YAML file, as drafts: all of them, or none if one is wrong."""
    read = read_beside(file.parent)
    documents = [include_text_files(document, read) for document in read_file(file)]
    warnings = [warning for document in documents for warning in document_warnings(document)]
    with open_services() as services:
        documents = [store_files(document, read, services.media) for document in documents]
        lines = []
        with services.db.writing() as session:
            for document in documents:
                product, new_version = import_document(session, document, services.now())
                if new_version is not None:
                    _record_import(session, services, product)
                if publish:
                    _publish(session, services, product)
                number = product.versions[-1].number
                change = "unchanged" if new_version is None else "new"
                lines.append(
                    f"{product.kind}/{product.key} version {number}: {change}, {product.state}"
                )
    for warning in warnings:
        click.echo(f"Warning: {warning}", err=True)
    click.echo("\n".join(lines))


@product.command()
@click.argument("key", metavar="KEY")
def publish(key: str) -> None:
    """Publish a product's newest version: new orders use it."""
    with open_services() as services, services.db.writing() as session:
        version = _publish(session, services, find_product(session, key))
    click.echo(f"New orders of {key} get version {version.number}.")


@product.command()
@click.argument("key", metavar="KEY")
def archive(key: str) -> None:
    """Remove a product from every list; its orders continue, and `publish` restores it."""
    with open_services() as services, services.db.writing() as session:
        product = find_product(session, key)
        before = product.audit_fields()
        product.archive(services.now())
        record_command(
            session,
            services.now(),
            Action.PRODUCT_ARCHIVED,
            f"product:{product.public_id}",
            before=before,
            after=product.audit_fields(),
        )
    click.echo(f"{key} is archived.")


@click.command()
def seed() -> None:
    """Add the sample products of each kind, published; existing products stay unchanged."""
    with open_services() as services, services.db.writing() as session:
        added = []
        for document in load_sample_documents():
            if list_by_key(session, f"{document.kind}/{document.key}"):
                continue
            product, _ = import_document(session, document, services.now())
            _record_import(session, services, product)
            _publish(session, services, product)
            added.append(f"Added {product.kind}/{product.key}")
    click.echo("\n".join(added) or "The samples exist already.")


def _record_import(session: Session, services: Services, product: Product) -> None:
    session.flush()  # a new product gets its public id
    fields = {"kind": product.kind, "key": product.key, "newest": product.versions[-1].number}
    subject = f"product:{product.public_id}"
    record_command(session, services.now(), Action.PRODUCT_IMPORTED, subject, after=fields)


def _publish(session: Session, services: Services, product: Product) -> ProductVersion:
    before = product.audit_fields()
    version = product.publish(services.now())
    record_command(
        session,
        services.now(),
        Action.PRODUCT_PUBLISHED,
        f"product:{product.public_id}",
        before=before,
        after=product.audit_fields(),
    )
    return version


def find_product(session: Session, key: str) -> Product:
    """Return the product with a key `KEY` or `KIND/KEY`; Conflict if two kinds share the key."""
    kind, slash, _ = key.rpartition("/")
    if slash and kind not in KINDS:
        raise Invalid(f"“{kind}” is not a kind: there are {', '.join(KINDS)}")
    return find_by_key(session, key)


def _product_record(product: Product) -> dict[str, Any]:
    current = [version for version in product.versions if version.id == product.current_version_id]
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
