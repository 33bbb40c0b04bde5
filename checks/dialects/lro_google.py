"""Google long-running operations: python `google-cloud-videointelligence` over REST (its future is google-api-core's, as in every
google-cloud-* package), and `google-genai` for Veo. BASE_URL stands for https://SERVICE.googleapis.com"""
import time
from _acceptance import *
from google.api_core import exceptions, retry
from google.oauth2.credentials import Credentials
from google.cloud import videointelligence_v1 as vi
from google.cloud.videointelligence_v1.services.video_intelligence_service.transports.rest import VideoIntelligenceServiceRestTransport as Rest
c = vi.VideoIntelligenceServiceClient(transport=Rest(host=base(), credentials=Credentials('test')))
def annotate(duration, error=None):
    text, headers = directive(duration, error)
    return c.annotate_video(request={'input_uri': 'gs://bucket/talk.mp4?' + text, 'features': [vi.Feature.LABEL_DETECTION]}, metadata=[(k.lower(), v) for k, v in headers.items()])
op = annotate('1s')
check('create', op.operation.name and not op.operation.done, op.operation.name)
t0 = time.monotonic(); result = op.result(timeout=60)
check('result() of the future', result.annotation_results[0].segment_label_annotations[0].entity.description == 'corgi', f'{time.monotonic() - t0:.1f} s')
check('its metadata', op.metadata.annotation_progress[0].progress_percent == 100)
op = annotate('500ms', 'boom')
try: op.result(timeout=60); check('a failing operation raises', False)
except exceptions.GoogleAPICallError as e: check('a failing operation raises', 'boom' in str(e) or e.grpc_status_code, f'{type(e).__name__} {e}')
op = annotate('1h'); op.cancel()
check('cancel', op.cancelled())
try: annotate('1h').result(timeout=2); check('a slow one times out', False)
except Exception as e: check('a slow one times out', isinstance(e, TimeoutError) or 'did not complete' in str(e), type(e).__name__)
ops = c.transport.operations_client
listed = list(ops.list_operations(name='projects/p/locations/us-east1', filter_='', page_size=2))
check('list, by its pages', len(listed) >= 4, len(listed))
try: ops.get_operation(name='projects/p/locations/us-east1/operations/nothere'); check('an unknown one is NotFound', False)
except exceptions.NotFound: check('an unknown one is NotFound', True)

from google import genai
from google.genai import types
g = genai.Client(vertexai=True, api_key='test', http_options=types.HttpOptions(base_url=base(), api_version='v1beta1'))
def veo(duration, error=None):
    text, headers = directive(duration, error)
    o = g.models.generate_videos(model='veo-3.1-generate-001', source=types.GenerateVideosSource(prompt='a corgi ' + text), config=types.GenerateVideosConfig(http_options=types.HttpOptions(headers=headers)))
    while not o.done: time.sleep(.3); o = g.operations.get(o)
    return o
o = veo('1s'); check('google-genai: Veo to the end', o.response.generated_videos[0].video.uri, o.response.generated_videos[0].video.uri)
o = veo('400ms', 'boom'); check('google-genai: a failing one', o.error and o.error['message'], o.error)
done()
