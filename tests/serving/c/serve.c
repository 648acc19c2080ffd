/* Runs one signature of a SavedModel by TensorFlow's C API: no Python anywhere.

   serve SAVED_MODEL [-l OP_LIBRARY]... [-i TENSOR TEXT]... -o TENSOR [-o TENSOR]...

   Every text is a batch of one. Prints a line per output: strings as they are,
   numbers with 9 digits, separated by tabs. */

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tensorflow/c/c_api.h"
#include "tensorflow/c/tf_tstring.h"

#define MOST 64

static TF_Status* status;

static void check(const char* what) {
  if (TF_GetCode(status) == TF_OK) return;
  fprintf(stderr, "%s: %s\n", what, TF_Message(status));
  exit(1);
}

/* "name:1" is the second output of the operation "name". */
static TF_Output find(TF_Graph* graph, const char* tensor) {
  char name[512];
  snprintf(name, sizeof name, "%s", tensor);
  char* colon = strrchr(name, ':');
  TF_Output output = {NULL, 0};
  if (colon) {
    *colon = '\0';
    output.index = atoi(colon + 1);
  }
  output.oper = TF_GraphOperationByName(graph, name);
  if (!output.oper) {
    fprintf(stderr, "no operation %s\n", name);
    exit(1);
  }
  return output;
}

static TF_Tensor* batch_of(const char* text) {
  const int64_t shape[] = {1};
  TF_Tensor* tensor = TF_AllocateTensor(TF_STRING, shape, 1, sizeof(TF_TString));
  TF_TString* value = TF_TensorData(tensor);
  TF_StringInit(value);
  TF_StringCopy(value, text, strlen(text));
  return tensor;
}

static void print_value(TF_Tensor* tensor, int64_t i) {
  const void* data = TF_TensorData(tensor);
  switch (TF_TensorType(tensor)) {
    case TF_STRING: {
      const TF_TString* value = (const TF_TString*)data + i;
      fwrite(TF_StringGetDataPointer(value), 1, TF_StringGetSize(value), stdout);
      break;
    }
    case TF_FLOAT:
      printf("%.9g", ((const float*)data)[i]);
      break;
    case TF_INT32:
      printf("%" PRId32, ((const int32_t*)data)[i]);
      break;
    default:
      fprintf(stderr, "unexpected type %d\n", TF_TensorType(tensor));
      exit(1);
  }
}

static void print_tensor(TF_Tensor* tensor) {
  for (int64_t i = 0; i < TF_TensorElementCount(tensor); i++) {
    if (i) putchar('\t');
    print_value(tensor, i);
  }
  putchar('\n');
}

int main(int argc, char** argv) {
  const char *texts[MOST], *fed[MOST], *fetched[MOST];
  int inputs = 0, outputs = 0;
  status = TF_NewStatus();
  for (int i = 2; i + 1 < argc && inputs < MOST && outputs < MOST; i += 2) {
    if (!strcmp(argv[i], "-l")) {
      TF_LoadLibrary(argv[i + 1], status);
      check(argv[i + 1]);
    } else if (!strcmp(argv[i], "-o")) {
      fetched[outputs++] = argv[i + 1];
    } else if (!strcmp(argv[i], "-i") && i + 2 < argc) {
      fed[inputs] = argv[i + 1];
      texts[inputs++] = argv[++i + 1];
    }
  }
  if (!outputs) {
    fprintf(stderr, "usage: serve MODEL [-l LIBRARY] [-i TENSOR TEXT] -o TENSOR\n");
    return 2;
  }

  const char* tags[] = {"serve"};
  TF_Graph* graph = TF_NewGraph();
  TF_SessionOptions* options = TF_NewSessionOptions();
  /* Restores the variables and runs the model's initialization. */
  TF_Session* session = TF_LoadSessionFromSavedModel(
      options, NULL, argv[1], tags, 1, graph, NULL, status);
  check(argv[1]);

  TF_Output feeds[MOST], fetches[MOST];
  TF_Tensor *given[MOST], *received[MOST];
  for (int i = 0; i < inputs; i++) {
    feeds[i] = find(graph, fed[i]);
    given[i] = batch_of(texts[i]);
  }
  for (int i = 0; i < outputs; i++) fetches[i] = find(graph, fetched[i]);
  TF_SessionRun(session, NULL, feeds, given, inputs, fetches, received, outputs,
                NULL, 0, NULL, status);
  check("run");
  for (int i = 0; i < outputs; i++) print_tensor(received[i]);

  for (int i = 0; i < inputs; i++) TF_DeleteTensor(given[i]);
  for (int i = 0; i < outputs; i++) TF_DeleteTensor(received[i]);
  TF_DeleteSession(session, status);
  TF_DeleteSessionOptions(options);
  TF_DeleteGraph(graph);
  TF_DeleteStatus(status);
  return 0;
}
