// jetpp/restore.hpp - everything to read backup sets with: catalogue, verify, restore, their log.
//
// Needs OpenSSL's libcrypto and nlohmann-json; no Asio.
#pragma once

#include <jetpp/backup/receive_set.hpp>
#include <jetpp/backup/repository.hpp>
#include <jetpp/backup/restore_set.hpp>
#include <jetpp/backup/roll_forward.hpp>
#include <jetpp/backup/set_catalogue.hpp>
#include <jetpp/backup/set_log.hpp>
#include <jetpp/backup/verify_replay.hpp>
#include <jetpp/backup/verify_set.hpp>
