-- The tables of one cluster, in a schema of their own. Made by `abide cluster init`.

-- What the cluster has one of.
CREATE TABLE cluster (
    one boolean PRIMARY KEY DEFAULT true CHECK (one),
    format int NOT NULL,                -- of these tables
    life bigint NOT NULL,               -- which log this is; another one after a loss was accepted
    level int NOT NULL,                 -- the newest stored forms that may be written
    settings jsonb NOT NULL,            -- what all nodes share, over each node's own configuration
    peer_key bytea NOT NULL,            -- authenticates nodes to each other
    lost text);                         -- what the database has lost; nodes refuse to start until that is accepted

-- The nodes. A node that lives adds one to its beat now and then.
CREATE TABLE node (
    name text PRIMARY KEY,
    run bigint NOT NULL,                -- which process of that name
    beat bigint NOT NULL,
    address text NOT NULL,
    reads_from int NOT NULL,
    reads_to int NOT NULL,
    applied bigint NOT NULL,
    version text NOT NULL) WITH (fillfactor = 50);

-- Who leads. It decides who tries to write, not who may.
CREATE TABLE leader (
    one boolean PRIMARY KEY DEFAULT true CHECK (one),
    term bigint NOT NULL,
    node text,
    run bigint NOT NULL);

-- The log: never updated, deleted from its beginning. The last row always stays.
CREATE TABLE batch (
    n bigint PRIMARY KEY,               -- dense; the key is half of the fence
    term bigint NOT NULL,
    nonce bigint NOT NULL,              -- no other batch has it
    before bigint NOT NULL,             -- the nonce of the batch before; the other half of the fence
    first bigint NOT NULL,              -- the sequence number of its first entry
    count int NOT NULL,                 -- its entries; a mark of a new leader has none
    sealed boolean NOT NULL,
    sum bigint NOT NULL,                -- CRC-32 of all of the above and the body
    body bytea NOT NULL);               -- lz4 of the lengths and the entries
-- Compressed already.
ALTER TABLE batch ALTER body SET STORAGE EXTERNAL;

-- The state as of the checkpoint, in parts.
CREATE TABLE part (
    key text COLLATE "C" PRIMARY KEY,
    sum bigint NOT NULL,
    sealed boolean NOT NULL,
    body bytea NOT NULL) WITH (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.02);

CREATE TABLE checkpoint (
    one boolean PRIMARY KEY DEFAULT true CHECK (one),
    n bigint NOT NULL,                  -- the last batch that it covers whole
    seq bigint NOT NULL,                -- the entry it stands for
    term bigint NOT NULL,               -- of the leader that wrote it
    parts bigint NOT NULL,              -- how many parts there are
    total bigint NOT NULL,              -- the sum of their sums
    sum bigint NOT NULL);

-- For people with psql.
CREATE VIEW job AS
    SELECT body ->> 'key' AS id, body ->> 'kind' AS kind, body ->> 'state' AS state, body ->> 'revision' AS revision,
        body ->> 'created_at' AS created_at, body ->> 'finished_at' AS finished_at
    FROM (SELECT convert_from(body, 'UTF8')::jsonb AS body FROM part
          WHERE key >= 'job/' AND key < 'job0' AND NOT sealed) AS of_jobs;
