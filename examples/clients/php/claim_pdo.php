<?php
// Claim a campaign with PDO.

const CLAIM = 'SELECT campaign_id, source FROM campaign_pool.claim(pool => ?, claimant => ?, key => ?)';
const POOL_EMPTY = 'CP002';

$url = parse_url(getenv('DATABASE_URL'));
$database = sprintf('pgsql:host=%s;port=%d;dbname=%s', $url['host'], $url['port'] ?? 5432, ltrim($url['path'], '/'));
$pdo = new PDO($database, urldecode($url['user']), urldecode($url['pass'] ?? ''));

try {
    // The key makes it safe to run this again when the answer was lost: it gives the same campaign.
    $statement = $pdo->prepare(CLAIM);
    $statement->execute([getenv('POOL'), getenv('CLAIMANT'), getenv('KEY')]);
    echo implode(' ', $statement->fetch(PDO::FETCH_NUM)), "\n";
} catch (PDOException $error) {
    if ($error->getCode() !== POOL_EMPTY) {
        throw $error;
    }
    fwrite(STDERR, "no campaign is ready: try again later\n");
    exit(75);
}
