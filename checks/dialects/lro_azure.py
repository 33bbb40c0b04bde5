"""Azure long-running operations, unmodified: python `azure-ai-translation-document` (a poller of its own upon azure-core's), and
`azure-core`'s LROPoller over the video translation API, for which there is no SDK. BASE_URL stands for https://NAME.cognitiveservices.azure.com"""
import time, uuid
from _acceptance import *
from azure.core import PipelineClient
from azure.core.credentials import AzureKeyCredential
from azure.core.exceptions import HttpResponseError, ResourceNotFoundError
from azure.core.pipeline.policies import AzureKeyCredentialPolicy, RequestIdPolicy, RetryPolicy
from azure.core.polling import LROPoller
from azure.core.polling.base_polling import LROBasePolling
from azure.core.rest import HttpRequest
from azure.ai.translation.document import DocumentTranslationClient
c = DocumentTranslationClient(base(), AzureKeyCredential('test'), polling_interval=.3, retry_total=0)
def begin(duration, error=None):
    text, headers = directive(duration, error)
    return c.begin_translation('https://x.blob.core.windows.net/src?' + text, 'https://x.blob.core.windows.net/dst', 'es', headers=headers)
p = begin('1s'); check('begin_translation', bool(p.id), p.id)
docs = list(p.result()); check('result() of the poller', p.status() == 'Succeeded' and docs[0].status == 'Succeeded' and docs[0].translated_document_url, p.status())
p = begin('500ms', 'boom'); docs = list(p.result())
check('a failing operation: result() returns, status() says it', p.status() == 'Failed' and docs[0].error, p.status())
p = begin('1h'); time.sleep(.2); c.cancel_translation(p.id); p.wait(10)
check('cancel', p.done() and p.status() in ('Cancelled', 'Canceled', 'Cancelling', 'Canceling'), p.status())
check('list, by its pages', len(list(c.list_translation_statuses())) >= 3)
try: c.get_translation_status('nothere'); check('an unknown one is ResourceNotFoundError', False)
except ResourceNotFoundError: check('an unknown one is ResourceNotFoundError', True)

v = PipelineClient(base(), policies=[RequestIdPolicy(), RetryPolicy(), AzureKeyCredentialPolicy(AzureKeyCredential('test'), 'Ocp-Apim-Subscription-Key')])
def put(path, duration, error=None):
    text, headers = directive(duration, error)
    request = HttpRequest('PUT', f'{base()}/videotranslation/translations/{path}?api-version=2025-05-20', headers={'Operation-Id': str(uuid.uuid4()), **headers},
        json={'displayName': 'talk', 'input': {'sourceLocale': 'en-US', 'targetLocale': 'es-ES', 'voiceKind': 'PlatformVoice', 'videoFileUrl': 'https://x.blob.core.windows.net/talk.mp4?' + text}})
    first = v._pipeline.run(request)
    return LROPoller(v, first, lambda r: r.http_response.json(), LROBasePolling(.3))
t = str(uuid.uuid4())
r = put(t, '700ms').result(); check('video translation: the translation', r['status'] == 'Succeeded', r['status'])
r = put(f'{t}/iterations/1', '700ms').result(); check('and its iteration, by a final GET', r['status'] == 'Succeeded' and r['result']['translatedVideoFileUrl'], r['result'])
try: put(str(uuid.uuid4()), '400ms', 'boom').result(); check('a failing one raises HttpResponseError', False)
except HttpResponseError as e: check('a failing one raises HttpResponseError', True, str(e).splitlines()[0])
done()
