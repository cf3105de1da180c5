"""Products (tests, interview templates, packages) and their immutable numbered versions."""

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import Any, ClassVar, Self, TypeVar, cast

from sqlalchemy import JSON, ForeignKey, Row, String, UniqueConstraint, false, or_, select
from sqlalchemy.orm import Mapped, Session, mapped_column, relationship

from provider.core.accounts import AccountProduct, Caller
from provider.core.products.files import ProductFile
from provider.errors import Conflict, NotFound
from provider.storage import secrets
from provider.storage.database import Base

DRAFT, PUBLISHED = "draft", "published"
MAX_PARSED_CONTENTS = 500  # entries of the cache of parsed contents

Content = TypeVar("Content")


class Product(Base):
    """A test, an interview template or a package. `key` identifies it in product documents."""

    __tablename__ = "products"
    __table_args__ = (UniqueConstraint("kind", "key"),)
    __mapper_args__ = {"polymorphic_on": "kind"}  # noqa: RUF012

    can_be_timed: ClassVar[bool] = False  # whether candidates may take it against the clock

    id: Mapped[int] = mapped_column(primary_key=True)
    public_id: Mapped[str] = mapped_column(
        String(22), unique=True, default=secrets.generate_public_id
    )
    kind: Mapped[str] = mapped_column(String(20))
    key: Mapped[str] = mapped_column(String(100))
    name: Mapped[str] = mapped_column(String(200))
    # The version of new orders. It has no foreign key: `product_versions` has one to `products`,
    # and a cycle of two tables can neither be created nor restored table by table.
    current_version_id: Mapped[int | None] = mapped_column()
    # Only sandbox accounts may order a sample.
    sandbox_only: Mapped[bool] = mapped_column(default=False, server_default=false())
    archived_at: Mapped[datetime | None]
    created_at: Mapped[datetime]
    versions: Mapped[list["ProductVersion"]] = relationship(
        back_populates="product", order_by="ProductVersion.number"
    )

    @property
    def state(self) -> str:
        """`draft`, `published` or `archived`."""
        if self.archived_at:
            return "archived"
        return PUBLISHED if self.current_version_id else DRAFT

    def audit_fields(self) -> dict[str, Any]:
        """Return what an entry of the audit log says of the product."""
        current = [row.number for row in self.versions if row.id == self.current_version_id]
        return {"state": self.state, "version": current[0] if current else None}

    def add_version(
        self, session: Session, content: dict[str, Any], digest: str, now: datetime
    ) -> "ProductVersion | None":
        """Add a draft. Returns None when the newest version has the same content."""
        newest = self.versions[-1] if self.versions else None
        if newest and newest.digest == digest:
            return None
        self.check_against_history(session, content, now)
        number = newest.number + 1 if newest else 1
        version = ProductVersion(number=number, content=content, digest=digest, created_at=now)
        self.versions.append(version)
        session.flush()
        return version

    def publish(self, now: datetime) -> "ProductVersion":
        """Publish the newest version: new orders get it, and it never changes again."""
        if not self.versions:
            raise Conflict(f"{self.name} has no version to publish")
        version = self.versions[-1]
        version.state, version.published_at = PUBLISHED, version.published_at or now
        self.current_version_id, self.archived_at = version.id, None
        self.sandbox_only = self.is_sample(version)
        return version

    def is_sample(self, version: "ProductVersion") -> bool:
        """Whether a version is a sample. Kinds with samples override this."""
        return False

    def check_against_history(
        self, session: Session, content: dict[str, Any], now: datetime
    ) -> None:
        """Raise DocumentError for content that contradicts earlier versions; kinds override it."""

    def archive(self, now: datetime) -> None:
        """Remove the product from all lists. Existing orders continue."""
        self.archived_at = self.archived_at or now

    @classmethod
    def find(cls, session: Session, public_id: str) -> Self:
        """Return the product with this public id. Raises NotFound."""
        product = None
        if len(public_id) <= 22 and "\x00" not in public_id:
            product = session.scalar(select(cls).where(cls.public_id == public_id))
        if product is None:
            raise NotFound("There is no such product")
        return product


class ProductVersion(Base):
    """A numbered version of a product. `digest` is the SHA-256 of its content and its files."""

    __tablename__ = "product_versions"
    __table_args__ = (UniqueConstraint("product_id", "number"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    product_id: Mapped[int] = mapped_column(ForeignKey("products.id"))
    number: Mapped[int]
    state: Mapped[str] = mapped_column(String(12), default=DRAFT)
    content: Mapped[dict[str, Any]] = mapped_column(JSON)
    digest: Mapped[str] = mapped_column(String(64))
    created_at: Mapped[datetime]
    published_at: Mapped[datetime | None]
    # The version whose keys score the answers to this one, since its own were found wrong. It has
    # no foreign key: a table that refers to itself cannot be restored row by row.
    scored_with_id: Mapped[int | None]
    product: Mapped[Product] = relationship(back_populates="versions")
    files: Mapped[list[ProductFile]] = relationship(order_by=ProductFile.id)

    def find_file(self, name: str) -> ProductFile:
        """Return the file that the content has a name for. Raises NotFound."""
        for file in self.files:
            if file.name == name:
                return file
        raise NotFound("There is no such file")

    @property
    def scoring_version(self) -> "ProductVersion":
        """The version whose keys score the answers to this one: itself, or one that corrects it."""
        if self.scored_with_id in (None, self.id):
            return self
        return next(row for row in self.product.versions if row.id == self.scored_with_id)

    @property
    def language(self) -> str:
        """The language of the document; empty if it names none. The content is read once."""
        return self.parsed(_read_language)

    def parsed(self, parse: Callable[[dict[str, Any]], Content]) -> Content:
        """Return the parsed content. The cache key has the digest, so entries never go stale."""
        parsed = _PARSED_CONTENTS.get((parse, self.digest))
        if parsed is None:
            if len(_PARSED_CONTENTS) > MAX_PARSED_CONTENTS:
                _PARSED_CONTENTS.clear()
            parsed = _PARSED_CONTENTS[parse, self.digest] = parse(self.content)
        return cast(Content, parsed)


def _read_language(content: dict[str, Any]) -> str:
    return str(content.get("language") or "")


_PARSED_CONTENTS: dict[tuple[Callable[..., Any], str], Any] = {}


def list_published_products(session: Session, kind: str, caller: Caller) -> Sequence[Row[str, str]]:
    """Return (public id, name) of the published products that an account may see, by name."""
    query = select(Product.public_id, Product.name).where(*visibility_conditions((kind,), caller))
    return session.execute(query.order_by(Product.name, Product.id)).all()


def visibility_conditions(kinds: Iterable[str], caller: Caller) -> list[Any]:
    """Return the conditions of a query for the products of `kinds` that an account may order."""
    conditions: list[Any] = [
        or_(*(Product.kind == kind for kind in kinds)),
        Product.archived_at.is_(None),
        Product.current_version_id.is_not(None),
    ]
    if not caller.sandbox:
        conditions.append(Product.sandbox_only.is_(False))
    if not caller.all_products:
        visible_ids = select(AccountProduct.product_id).where(
            AccountProduct.account_id == caller.account_id
        )
        conditions.append(Product.id.in_(visible_ids))
    return conditions
