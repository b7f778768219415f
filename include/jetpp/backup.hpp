// jetpp/backup.hpp - everything to take backups with: sinks, repositories, async_backup, run_backup.
//
// Needs Boost.Asio and OpenSSL's libcrypto; reading sets back (jetpp/restore.hpp) needs
// nlohmann-json as well. Programs that take no backups include neither. On purpose only, each with
// its library: backup/zstd_codec.hpp, backup/lz4_codec.hpp, backup/sodium.hpp; for sockets as sinks,
// backup/asio_stream.hpp; and backup/drill.hpp, which restores each set before it is published, and
// so needs what restoring needs.
#pragma once

#include <jetpp/backup/abandon_backup.hpp>
#include <jetpp/backup/async_backup.hpp>
#include <jetpp/backup/backup_job.hpp>
#include <jetpp/backup/repository.hpp>
#include <jetpp/backup/run_backup.hpp>
#include <jetpp/backup/sink.hpp>
#include <jetpp/backup/stream_sink.hpp>
#include <jetpp/backup/tee_sink.hpp>
