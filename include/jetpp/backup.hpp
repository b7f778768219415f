// jetpp/backup.hpp - everything to take backups with: sinks, repositories, async_backup, run_backup.
//
// Needs Boost.Asio and OpenSSL's libcrypto; reading sets back (jetpp/restore.hpp) needs
// nlohmann-json as well. Programs that take no backups include neither.
#pragma once

#include <jetpp/backup/async_backup.hpp>
#include <jetpp/backup/backup_job.hpp>
#include <jetpp/backup/repository.hpp>
#include <jetpp/backup/run_backup.hpp>
#include <jetpp/backup/sink.hpp>
