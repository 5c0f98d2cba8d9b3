"""What the handlers of one application share."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from aiohttp import web

from ticketsvc.database.pool import Pool
from ticketsvc.database.schemas import SchemaName
from ticketsvc.database.statements import Statement
from ticketsvc.sales.seller import Seller
from ticketsvc.service.connections import Guards
from ticketsvc.service.metrics import Metrics
from ticketsvc.service.outbox import Outbox


@dataclass(slots=True, kw_only=True)
class State:
    """Hold the parts of one application, and whether it is stopping.

    *body_timeout_s*: how long a body may take to arrive once the headers are complete. *guards*
    stays empty where nothing bounds the connections.
    """

    pool: Pool
    seller: Seller
    metrics: Metrics
    schema: SchemaName
    reading: Mapping[str, Statement]
    body_timeout_s: float
    outbox: Outbox = field(default_factory=Outbox)
    guards: Guards = field(default_factory=dict)
    draining: bool = False


STATE = web.AppKey("state", State)
