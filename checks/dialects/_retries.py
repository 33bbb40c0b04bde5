"""What vendors' SDKs do when one read is refused or breaks off: plays it, and writes the table of docs/dialects/retries.md.
usage: _retries.py ORIGIN, where the server has an ordinary clock. Fails if the table isn't the one that was looked at; ABIDE_BLESS=1
writes it anew."""
import importlib.metadata, json, logging, os, pathlib, sys, threading, time, urllib.request, warnings
sys.path.append(sys.path.pop(0))
warnings.simplefilter('ignore')
logging.disable(logging.CRITICAL)
ORIGIN = sys.argv[1].rstrip('/')
PAGE = pathlib.Path(__file__).resolve().parents[2] / 'docs/dialects/retries.md'
base = lambda name: f'{ORIGIN}/dialects/{name}'
# What the first read meets. The second one is answered.
CASES = [('`429`, `Retry-After: 2`', 'fault=error,first=1,status=429,retry_after=2'), ('`429`', 'fault=error,first=1,status=429'),
    ('`409`', 'fault=error,first=1,status=409'), ('`500`', 'fault=error,first=1,status=500'),
    ('`503`, `Retry-After: 2`', 'fault=error,first=1,status=503,retry_after=2'), ('reset', 'fault=reset,first=1')]

# Each makes a job that goes on for an hour and meets that, and gives a read of it.
def openai(said):
    import openai
    client = openai.OpenAI(api_key='sk-test', base_url=base('openai') + '/v1')
    made = client.responses.create(model='gpt', input=said, background=True)
    return lambda: client.responses.retrieve(made.id)
def replicate(said):
    import replicate
    client = replicate.Client(api_token='r8_test', base_url=base('replicate'))
    made = client.predictions.create('owner/name:0123abcd', input={'prompt': said})
    return made.reload
def runwayml(said):
    import runwayml
    client = runwayml.RunwayML(api_key='key_test', base_url=base('runway'))
    made = client.image_to_video.create(model='gen4_turbo', prompt_image='https://example.com/i.png', ratio='1280:720', prompt_text=said)
    return lambda: client.tasks.retrieve(made.id)
def lumaai(said):
    import lumaai
    client = lumaai.LumaAI(auth_token='luma-test', base_url=base('luma') + '/dream-machine/v1')
    made = client.generations.create(prompt=said, model='ray-2')
    return lambda: client.generations.get(made.id)
def fal(said):
    os.environ['FAL_KEY'] = 'id:secret'
    import fal_client, fal_client.client
    fal_client.client.QUEUE_URL_FORMAT = base('fal') + '/'
    return fal_client.SyncClient().submit('fal-ai/veo3', {'prompt': said}).status
def elevenlabs(said):
    from elevenlabs import ElevenLabs
    client = ElevenLabs(base_url=base('elevenlabs'), api_key='sk_test')
    made = client.dubbing.create(source_url='https://example.com/?' + said, target_lang='es')
    return lambda: client.dubbing.get(made.dubbing_id)
def syncsdk(said):
    from sync import Sync
    from sync.common import Audio, Video
    client = Sync(base_url=base('syncso'), api_key='k')
    made = client.generations.create(input=[Video(url='https://example.com/v.mp4'), Audio(url='https://example.com/a.wav?' + said)], model='lipsync-2')
    return lambda: client.generations.get(made.id)
def assemblyai(said):
    import assemblyai
    assemblyai.settings.api_key, assemblyai.settings.base_url = 'test', base('assemblyai')
    made = assemblyai.Transcriber().submit('https://example.com/a.mp3?' + said)
    client = assemblyai.Client.get_default()
    return lambda: assemblyai.api.get_transcript(client.http_client, made.id)
def dashscope(said):
    os.environ['DASHSCOPE_HTTP_BASE_URL'] = base('dashscope') + '/api/v1'
    import dashscope
    dashscope.api_key = 'k'
    made = dashscope.VideoSynthesis.async_call(model='wan2.2-t2v-plus', prompt=said)
    def read():
        answer = dashscope.VideoSynthesis.fetch(made)
        if answer.status_code != 200: raise Returned(answer.status_code)
    return read
def azure(said):
    from azure.ai.translation.document import DocumentTranslationClient
    from azure.core.credentials import AzureKeyCredential
    client = DocumentTranslationClient(base('azure'), AzureKeyCredential('test'))
    # Its own create reads beside us.
    body = json.dumps({'inputs': [{'source': {'sourceUrl': 'https://x.example/src?' + said}}]}).encode()
    headers = {'ocp-apim-subscription-key': 'test', 'content-type': 'application/json'}
    made = urllib.request.urlopen(urllib.request.Request(base('azure') + '/translator/document/batches?api-version=2026-03-01', body, headers))
    id = made.headers['operation-location'].split('?')[0].rsplit('/', 1)[1]
    return lambda: client.get_translation_status(id)
def google(said):
    from google.auth.credentials import AnonymousCredentials
    from google.cloud import videointelligence_v1 as vi
    from google.cloud.videointelligence_v1.services.video_intelligence_service.transports.rest import VideoIntelligenceServiceRestTransport as Rest
    client = vi.VideoIntelligenceServiceClient(transport=Rest(host=base('google'), credentials=AnonymousCredentials()))
    made = client.annotate_video(request={'input_uri': 'gs://bucket/?' + said, 'features': [vi.Feature.LABEL_DETECTION]})
    return lambda: client.transport.operations_client.get_operation(name=made.operation.name)
def genai(said):
    from google import genai
    from google.genai import types
    client = genai.Client(vertexai=True, api_key='test', http_options=types.HttpOptions(base_url=base('google'), api_version='v1beta1'))
    made = client.models.generate_videos(model='veo-3.1-generate-001', source=types.GenerateVideosSource(prompt=said))
    return lambda: client.operations.get(made)
def leonardo(said):
    from leonardo_ai_sdk import LeonardoAiSDK
    client = LeonardoAiSDK(bearer_auth='test', server_url=base('leonardo') + '/api/rest/v1')
    made = client.image.create_generation(request={'prompt': said})
    return lambda: client.image.get_generation_by_id(id=made.object.sd_generation_job.generation_id)

class Returned(Exception): pass
SDKS = [('assemblyai', assemblyai), ('azure-ai-translation-document', azure), ('dashscope', dashscope), ('elevenlabs', elevenlabs), ('fal-client', fal),
    ('google-api-core', google), ('google-genai', genai), ('leonardo-ai-sdk', leonardo), ('lumaai', lumaai), ('openai', openai), ('replicate', replicate),
    ('runwayml', runwayml), ('syncsdk', syncsdk)]

def met(sdk, fault):
    read = sdk(f'abide:duration=1h,{fault}')
    begun = time.monotonic()
    try: read()
    except Returned: return 'returns it'
    except Exception as error: return f'`{type(error).__name__}`'
    took = time.monotonic() - begun
    if 'retry_after' in fault: return 'waits as asked' if took >= 1.9 else 'again, earlier'
    return 'again'

results = {}
def play(sdk, n):
    try: results[sdk.__name__, n] = met(sdk, CASES[n][1])
    except Exception as error: results[sdk.__name__, n] = f'the create raises {error!r}'
# What is imported first is imported alone.
for _, sdk in SDKS: play(sdk, 0)
threads = [threading.Thread(target=play, args=(sdk, n), daemon=True) for _, sdk in SDKS for n in range(1, len(CASES))]
for thread in threads: thread.start()
for thread in threads: thread.join(120)
version = lambda name: importlib.metadata.version(name)
rows = [f'| `{name}` {version(name)} | ' + ' | '.join(results.get((sdk.__name__, n), 'nothing for 2 min') for n in range(len(CASES))) + ' |' for name, sdk in SDKS]
table = '\n'.join(['| SDK | ' + ' | '.join(case for case, _ in CASES) + ' |', '|---' * (len(CASES) + 1) + '|', *rows]) + '\n'
print(table)
head, _, kept = PAGE.read_text().partition('| SDK |')
if os.environ.get('ABIDE_BLESS'): PAGE.write_text(head + table)
elif '| SDK |' + kept != table: sys.exit(f'{PAGE} has another table; ABIDE_BLESS=1 writes it')
