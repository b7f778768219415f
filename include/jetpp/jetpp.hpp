// jetpp/jetpp.hpp - the engine: include this, and nothing else is needed.
//
// Core and blocking API. Coroutines, backup and restore are in headers of their own
// (jetpp/backup.hpp, jetpp/restore.hpp): who takes no backups never compiles Asio.
#pragma once

#include <jetpp/core/describe.hpp>
#include <jetpp/core/version.hpp>
#include <jetpp/engine/engine.hpp>
