"""How vendors' SDKs wait, and how this project's client does for the same vendors, in the account of the server's client report.
usage: _waits.py ABIDE, the program. It writes the table of docs/dialects/waits.md to standard output; the numbers differ a little
from run to run. JOBS jobs at once, of half of SECONDS to one and a half of it, are waited for in each way. Our client has
waited for as many jobs before."""
import concurrent.futures, importlib.metadata, json, logging, os, pathlib, re, subprocess, sys, tempfile, time, urllib.request, warnings
sys.path.append(sys.path.pop(0))
warnings.simplefilter('ignore')
logging.disable(logging.CRITICAL)
ABIDE, JOBS, SECONDS = sys.argv[1], int(os.environ.get('JOBS', 8)), float(os.environ.get('SECONDS', 8))
PRESETS = {it['name']: it for it in json.load(open(pathlib.Path(__file__).resolve().parents[2] / 'crates/client/src/remote/presets.json'))}
LENGTHS = [f'abide:duration={SECONDS * (.5 + (n + .5) / JOBS):.2f}s' for n in range(JOBS)]

# Each waits for a job by the SDK's own waiter.
def replicate(url, key):
    import replicate
    client = replicate.Client(api_token=key, base_url=url)
    return lambda said: client.predictions.create('owner/name:0123abcd', input={'prompt': said}).wait()
def runwayml(url, key):
    import runwayml
    client = runwayml.RunwayML(api_key=key, base_url=url)
    return lambda said: client.image_to_video.create(model='gen4_turbo', prompt_image='https://example.com/i.png', ratio='1280:720', prompt_text=said).wait_for_task_output()
def fal(url, key):
    os.environ['FAL_KEY'] = key
    import fal_client, fal_client.client
    fal_client.client.QUEUE_URL_FORMAT = url + '/'
    client = fal_client.SyncClient()
    return lambda said: client.subscribe('fal-ai/veo3', {'prompt': said})
def assemblyai(url, key):
    import assemblyai
    assemblyai.settings.api_key, assemblyai.settings.base_url = key, url
    return lambda said: assemblyai.Transcriber().transcribe('https://example.com/a.mp3?' + said)
def openai(url, key):
    import openai
    client = openai.OpenAI(api_key=key, base_url=url + '/v1')
    return lambda said: client.videos.create_and_poll(prompt=said)
def dashscope(url, key):
    os.environ['DASHSCOPE_HTTP_BASE_URL'] = url
    import dashscope
    dashscope.api_key = key
    return lambda said: dashscope.VideoSynthesis.call(model='wan2.2-t2v-plus', prompt=said)
def elevenlabs(url, key):
    from elevenlabs import ElevenLabs
    from elevenlabs import VideoGenerationRequest_BytedanceSeedanceV2 as Video, WebhookHmacSettings, WebhookTarget_Ids
    client = ElevenLabs(base_url=url, api_key=key)
    return lambda said: client.flows.video.create_and_wait(request=Video(prompt=said))
def azure(url, key):
    from azure.ai.translation.document import DocumentTranslationClient
    from azure.core.credentials import AzureKeyCredential
    client = DocumentTranslationClient(url, AzureKeyCredential(key))
    return lambda said: client.begin_translation('https://x.blob.core.windows.net/src?' + said, 'https://x.blob.core.windows.net/dst', 'es').result()
def google(url, key):
    from google.oauth2.credentials import Credentials
    from google.cloud import videointelligence_v1 as vi
    from google.cloud.videointelligence_v1.services.video_intelligence_service.transports.rest import VideoIntelligenceServiceRestTransport as Rest
    client = vi.VideoIntelligenceServiceClient(transport=Rest(host=url, credentials=Credentials(key)))
    return lambda said: client.annotate_video(request={'input_uri': 'gs://bucket/?' + said, 'features': [vi.Feature.LABEL_DETECTION]}).result(timeout=60)

# The package, its waiter, how it is made, the description of the vendor, where the server speaks it, its kind, and a request.
VENDORS = [
    ('assemblyai', '`transcribe()`', assemblyai, 'assemblyai', 'assemblyai', '', {'audio_url': 'https://example.com/?SAID'}),
    ('azure-ai-translation-document', '`result()`', azure, 'azure_document_translation', 'azure', '', {'inputs': [{'source': {'sourceUrl': 'https://x.example/?SAID'}}]}),
    ('dashscope', '`VideoSynthesis.call()`', dashscope, 'dashscope', 'dashscope/api/v1', '', {'model': 'm', 'input': {'prompt': 'SAID'}}),
    ('elevenlabs', '`create_and_wait()`', elevenlabs, 'elevenlabs', 'elevenlabs', '', {'prompt': 'SAID'}),
    ('fal-client', '`subscribe()`', fal, 'fal', 'fal', 'fal-ai/veo3', {'prompt': 'SAID'}),
    ('google-api-core', '`result()`', google, 'google_veo', 'google', 'veo-3', {'instances': [{'prompt': 'SAID'}]}),
    ('openai', '`videos.create_and_poll()`', openai, 'openai_video', 'openai', '', {'prompt': 'SAID'}),
    ('replicate', '`wait()`', replicate, 'replicate', 'replicate', '', {'version': 'v', 'input': {'prompt': 'SAID'}}),
    ('runwayml', '`wait_for_task_output()`', runwayml, 'runway', 'runway', 'image_to_video', {'promptText': 'SAID'}),
]
key_of = lambda preset, way: f'{preset}-{way}-of-this-table'.replace('_', '-')
keys = [key_of(vendor[3], way) for vendor in VENDORS for way in ('own', 'first', 'ours')]
log = tempfile.NamedTemporaryFile('w+', suffix='.log')
flags = [word for key in keys for word in ('--api-key', f'{key}:user:{key}')]
server = subprocess.Popen([ABIDE, 'serve', '--ephemeral', '--seed', '7', '--listen', '127.0.0.1:0', '--dialects', 'all', *flags], stdout=log, stderr=log)
while not (found := re.search(r'http://127\.0\.0\.1:\d+', open(log.name).read())): time.sleep(.1)
ORIGIN = found[0]

def report(key):
    """Requests a job, seconds late, and the grade of the client of that key that waited."""
    request = urllib.request.Request(ORIGIN + '/v1/report', headers={'authorization': f'Bearer {key}'})
    clients = json.load(urllib.request.urlopen(request))['clients']
    it = max(clients, key=lambda it: it['ended'])
    cost = f"{it['cost_s'] / it['bound_s']:.1f}" if it['bound_s'] else '–'
    return f"{it['requests_per_job']:.1f} | {it['detection_ms']['mean'] / 1000:.1f} | {cost} | {it['grade']}"

def own(vendor):
    name, waiter, make, preset, mount, kind, body = vendor
    key = key_of(preset, 'own')
    wait = make(f'{ORIGIN}/dialects/{mount}', key)
    with concurrent.futures.ThreadPoolExecutor(JOBS) as pool: list(pool.map(wait, LENGTHS))
    return f'| `{name}` {importlib.metadata.version(name)} | {waiter} | {report(key)} |'

def ours(vendor):
    name, _, _, preset, mount, kind, body = vendor
    remote, url = PRESETS[preset], f'{ORIGIN}/dialects/{mount}'
    with tempfile.TemporaryDirectory() as state:
        for way in ('first', 'ours'):
            key = key_of(preset, way)
            def create(said):
                text = json.dumps(body).replace('SAID', said).encode()
                headers = {**remote.get('headers', {}), remote.get('key_header', 'authorization'): remote.get('key_prefix', 'Bearer ') + key, 'content-type': 'application/json'}
                answer = urllib.request.urlopen(urllib.request.Request(url + remote['create'].replace('{+kind}', kind).replace('{kind}', kind), text, headers))
                if 'id_header' in remote: return answer.headers[remote['id_header']].split('?')[0].rsplit('/', 1)[1]
                made = json.load(answer)
                for part in remote['id'].split('/')[1:]: made = made[int(part) if part.isdigit() else part]
                return made
            ids = [create(said) for said in LENGTHS]
            words = [ABIDE, 'wait', *ids, '--remote', preset, '--server', url, '--state-dir', state, *(['--kind', kind] if kind else [])]
            subprocess.run(words, env={**os.environ, 'ABIDE_REMOTE_KEY': key}, check=True, capture_output=True)
    return f'| | `abide wait --remote {preset}` | {report(key)} |'

try:
    # Each SDK is imported alone: two at once may meet in one another's imports.
    with concurrent.futures.ThreadPoolExecutor(2 * len(VENDORS)) as pool:
        rows = [pool.submit(way, vendor) for vendor in VENDORS for way in (own, ours)]
        table = [row.result() for row in rows]
    print('| SDK | way | requests a job | seconds late | cost / bound | grade |\n|---|---|---|---|---|---|')
    print('\n'.join(table), flush=True)
finally: server.terminate()
