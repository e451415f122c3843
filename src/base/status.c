#include <stdarg.h>
#include <stdio.h>

#include "base/base.h"

const char *fusion_status_class(fusion_status status) {
  static const char *const names[] = {"ok", "usage", "resource", "io", "peer", "model", "crypto", "internal"};
  const int class = -(int)status / 100;
  return class >= 0 && class <= 7 ? names[class] : "internal";
}

const char *fusion_status_text(fusion_status status) {
  switch (status) {
    case FUSION_OK: return "success";
    case FUSION_E_USAGE: return "an argument is wrong";
    case FUSION_E_UNREACHABLE: return "no parameters satisfy the request";
    case FUSION_E_INPUT: return "a data file holds something else than expected";
    case FUSION_E_RESOURCE: return "the machine cannot give what is needed";
    case FUSION_E_MEMORY: return "out of memory";
    case FUSION_E_ENTROPY: return "the operating system gave no randomness";
    case FUSION_E_LIMIT: return "a configured limit would be passed";
    case FUSION_E_IO: return "the operating system refused a file or socket";
    case FUSION_E_CLOSED: return "the peer closed the connection";
    case FUSION_E_TIMEOUT: return "the peer stayed silent too long";
    case FUSION_E_NETWORK: return "the network does not reach the peer";
    case FUSION_E_PEER: return "the peer sent something that the protocol does not allow";
    case FUSION_E_REFUSED: return "the peer declined";
    case FUSION_E_BUSY: return "the peer is busy; try again later";
    case FUSION_E_VERSION: return "the peer speaks another version of the protocol; use the same release on both sides";
    case FUSION_E_REJECTED: return "the verdict on this job was reject";
    case FUSION_E_MODEL: return "the model cannot be taken";
    case FUSION_E_UNSUPPORTED: return "the model uses something that is not supported";
    case FUSION_E_ROUNDING: return "the model uses fast rounding, which was not accepted";
    case FUSION_E_OTHER_MODEL: return "the model is not the one that was asked for";
    case FUSION_E_MODEL_CHANGED: return "the model is another one than before; audit it again";
    case FUSION_E_CRYPTO: return "a cryptographic check failed";
    case FUSION_E_TLS: return "the TLS connection failed";
    case FUSION_E_INTERNAL: break;
  }
  return "a defect of this library";
}

const char *fusion_version(void) {
  return FUSION_VERSION;
}

fusion_status error_set(fusion_error *err, fusion_status status, const char *format, ...) {
  if (!err) return status;
  va_list args;
  va_start(args, format);
  err->status = status;
  vsnprintf(err->text, sizeof err->text, format, args);
  va_end(args);
  return status;
}
