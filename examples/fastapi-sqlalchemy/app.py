"""A ticket service on FastAPI, SQLAlchemy and asyncpg.

MODE=naive reads, decides and writes; MODE=fixed lets one conditional UPDATE decide.
"""

import os

import uvicorn
from fastapi import FastAPI
from fastapi.responses import JSONResponse
from pydantic import BaseModel
from sqlalchemy import ForeignKey, select, update
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

engine = create_async_engine(
    os.environ["DATABASE_URL"].replace("postgresql://", "postgresql+asyncpg://"),
    connect_args={"ssl": False},
)
new_session = async_sessionmaker(engine, expire_on_commit=False)
app = FastAPI()


class Base(DeclarativeBase):
    """The tables."""


class Pool(Base):
    """The stock of an event."""

    __tablename__ = "ticket_pools"
    event_id: Mapped[str] = mapped_column(primary_key=True)
    total: Mapped[int]
    available: Mapped[int]


class Ticket(Base):
    """One ticket in a buyer's hands."""

    __tablename__ = "issued_tickets"
    id: Mapped[int] = mapped_column(primary_key=True)
    event_id: Mapped[str] = mapped_column(ForeignKey("ticket_pools.event_id"))
    user_id: Mapped[str]
    ticket_number: Mapped[int]


class Purchase(BaseModel):
    """What a buyer asks for."""

    userId: str
    eventId: str
    quantity: int


async def naive(session: AsyncSession, purchase: Purchase) -> int | None:
    """Load the pool, decide, change it as an object: the ORM writes back what it computed."""
    pool = await session.get(Pool, purchase.eventId)
    if pool is None or pool.available < purchase.quantity:
        return None
    first = pool.total - pool.available + 1
    pool.available -= purchase.quantity
    return first


async def fixed(session: AsyncSession, purchase: Purchase) -> int | None:
    """Let one conditional UPDATE decide."""
    reserved = await session.execute(
        update(Pool)
        .where(Pool.event_id == purchase.eventId, Pool.available >= purchase.quantity)
        .values(available=Pool.available - purchase.quantity)
        .returning(Pool.total - Pool.available - purchase.quantity + 1)
    )
    return reserved.scalar_one_or_none()


reserve = fixed if os.environ.get("MODE") == "fixed" else naive


@app.get("/healthz")
async def healthz() -> dict[str, str]:
    """Answer once the database does."""
    async with new_session() as session:
        await session.execute(select(1))
    return {"status": "alive"}


@app.post("/purchase")
async def purchase(asked: Purchase) -> JSONResponse:
    """Sell, or refuse."""
    async with new_session() as session, session.begin():
        first = await reserve(session, asked)
        if first is None:
            return JSONResponse({"error": "Not enough tickets available"}, status_code=409)
        numbers = list(range(first, first + asked.quantity))
        session.add_all(
            Ticket(event_id=asked.eventId, user_id=asked.userId, ticket_number=number)
            for number in numbers
        )
    return JSONResponse({"success": True, "tickets": numbers})


if __name__ == "__main__":
    uvicorn.run(app, host="127.0.0.1", port=int(os.environ["PORT"]), log_level="warning")
