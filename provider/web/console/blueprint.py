"""The console's blueprint: one nested blueprint per section, all behind authentication."""

from flask import Blueprint

from provider.errors import ProviderError
from provider.web.console import (
    account_creation,
    account_emails,
    account_settings,
    account_tokens,
    accounts,
    alerts,
    audit,
    authentication,
    bulk_actions,
    bulk_runs,
    connections,
    deliveries,
    emails,
    error_pages,
    home,
    offboarding,
    openid,
    order_actions,
    order_erasure,
    order_export,
    orders,
    own_account,
    passkeys,
    passwords,
    people,
    presence,
    product_actions,
    product_import,
    products,
    saved_views,
    sign_in,
    usage,
)
from provider.web.console.editor import creation, entry, outline, publishing, upload, versions

routes = Blueprint("console", __name__, url_prefix="/console")
routes.before_request(authentication.authenticate)
routes.context_processor(authentication.template_context)
routes.register_error_handler(ProviderError, error_pages.render_error)
for section in (
    home,
    sign_in,
    openid,
    passwords,
    own_account,
    passkeys,
    people,
    orders,
    order_actions,
    order_erasure,
    bulk_actions,
    bulk_runs,
    presence,
    order_export,
    saved_views,
    deliveries,
    alerts,
    emails,
    creation,
    products,
    product_actions,
    product_import,
    outline,
    entry,
    publishing,
    upload,
    versions,
    accounts,
    account_creation,
    account_emails,
    account_settings,
    account_tokens,
    connections,
    offboarding,
    usage,
    audit,
):
    routes.register_blueprint(section.routes)
