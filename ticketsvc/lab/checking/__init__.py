"""How the checker works: accounts, holdings, causes. Its face is `ticketsvc.lab.checks`."""
