INSERT INTO reservations (seat, guest) VALUES (1, :'n') ON CONFLICT (seat) DO NOTHING;
