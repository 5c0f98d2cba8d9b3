<?php
// Buy the last ticket: php buy.php BUYER naive, or fixed, where one conditional UPDATE decides.
$database = new PDO(sprintf(
    'pgsql:host=%s;port=%s;dbname=%s', getenv('PGHOST'), getenv('PGPORT'), getenv('PGDATABASE')
), getenv('PGUSER'), getenv('PGPASSWORD') ?: null);

function reserve(PDO $database, bool $fixed): bool
{
    if ($fixed) {
        return $database->exec(
            'UPDATE pools SET available = available - 1 WHERE id = 1 AND available >= 1'
        ) === 1;
    }
    $available = $database->query('SELECT available FROM pools WHERE id = 1')->fetchColumn();
    if ($available < 1) {
        return false;
    }
    $database->exec('UPDATE pools SET available = available - 1 WHERE id = 1');
    return true;
}

$database->beginTransaction();
if (reserve($database, $argv[2] === 'fixed')) {
    $database->prepare('INSERT INTO tickets (pool, buyer) VALUES (1, ?)')->execute([$argv[1]]);
}
$database->commit();
