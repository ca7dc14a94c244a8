-- What has been applied here. Two runs at once may both record a migration; readers group by number.
CREATE TABLE IF NOT EXISTS {{create schema_migrations}}
(
    number UInt32,
    name String,
    sha256 String,
    applied_at DateTime('UTC') DEFAULT now()
)
ENGINE = {{engine MergeTree}}
ORDER BY number
{{durable}}
{{spread number}}
