"""Times on a candidate's page: in her zone, and how long that is from now."""

from datetime import datetime

from jinja2 import pass_context
from jinja2.runtime import Context
from markupsafe import Markup, escape

from provider.core import formats
from provider.core.orders import Order
from provider.services import current_services


@pass_context
def local_time(context: Context, moment: datetime) -> Markup:
    """Return the element `time` of a moment, for a template with `order`.

    Its text has the zone of the order. The script `candidate-times.js` replaces the text by one in
    the browser's zone; it takes the present time from `data-now`, because a device's clock may be
    wrong.
    """
    order: Order = context["order"]
    now = current_services().now()
    text = formats.format_datetime(moment, order.timezone)
    return Markup('<time datetime="{}" data-now="{}">{} ({})</time>').format(
        moment.isoformat(), now.isoformat(), text, escape(formats.format_from_now(moment, now))
    )
