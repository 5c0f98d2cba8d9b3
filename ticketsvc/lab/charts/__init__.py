"""Charts: a table in, a labelled chart out. No database, no clock, nothing shown.

Every title states what is to be seen, from the data themselves.
"""

from ticketsvc.lab.charts.bursts import (
    before_and_after,
    copies_of_numbers,
    issued_against_total,
    who_sold_what,
)
from ticketsvc.lab.charts.classes import classes_and_held_commits
from ticketsvc.lab.charts.damage import damage_by_purchases
from ticketsvc.lab.charts.faults import lost_by_durability, sales_under_faults, sold_twice
from ticketsvc.lab.charts.recorded_statements import recorded_statements
from ticketsvc.lab.charts.safety_nets import price_of_nets, price_of_nets_in_time
from ticketsvc.lab.charts.schedules import matrix
from ticketsvc.lab.charts.stock import stock
from ticketsvc.lab.charts.throughput import (
    by_connections,
    durability,
    lock_hold,
    simulated_and_measured,
)
from ticketsvc.lab.charts.timeline import timeline
from ticketsvc.lab.charts.write_volume import wal_by_quantity
