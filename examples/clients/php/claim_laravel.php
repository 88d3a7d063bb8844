<?php
// Claim a campaign with Laravel: a class for a controller or a job, inside its transaction or alone.

use Illuminate\Database\ConnectionInterface;
use Illuminate\Database\QueryException;

class NoneReady extends RuntimeException
{
}

class Campaigns
{
    private const CLAIM = 'SELECT campaign_id, source FROM campaign_pool.claim(pool => ?, claimant => ?, key => ?)';
    private const POOL_EMPTY = 'CP002';

    public function __construct(private ConnectionInterface $database)
    {
    }

    /**
     * Return the row of the claim: campaign_id and source. The claimant is the id of the user. The same key returns the
     * same campaign: pass one that a retry of the request or the job uses too.
     */
    public function claim(string $pool, string|int $claimant, string $key): object
    {
        try {
            // A savepoint inside a transaction: an empty pool does not abort the rest of it. The third argument sends
            // the statement to the connection that writes, where reads go to another.
            return $this->database->transaction(
                fn () => $this->database->selectOne(self::CLAIM, [$pool, (string) $claimant, $key], false)
            );
        } catch (QueryException $error) {
            if ($error->getCode() !== self::POOL_EMPTY) {
                throw $error;
            }
            throw new NoneReady('no campaign is ready: try again later', previous: $error);
        }
    }
}

// An application gets the connection from its container: (new Campaigns(DB::connection()))->claim(…).
require_once 'Illuminate/Database/autoload.php';
$url = parse_url(getenv('DATABASE_URL'));
$capsule = new Illuminate\Database\Capsule\Manager();
$capsule->addConnection([
    'driver' => 'pgsql',
    'host' => $url['host'],
    'port' => $url['port'] ?? 5432,
    'database' => ltrim($url['path'], '/'),
    'username' => urldecode($url['user']),
    'password' => urldecode($url['pass'] ?? ''),
    'charset' => 'utf8',
]);

try {
    $campaigns = new Campaigns($capsule->getConnection());
    $claim = $campaigns->claim(getenv('POOL'), getenv('CLAIMANT'), getenv('KEY'));
    echo "{$claim->campaign_id} {$claim->source}\n";
} catch (NoneReady $error) {
    fwrite(STDERR, $error->getMessage() . "\n");
    exit(75);
}
