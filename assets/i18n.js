// Texts of the page: key|English|繁體中文|简体中文. English defaults to the key's last part, capitalized, 简体中文 to 繁體中文. {names} are placeholders.

export const LANGUAGES = { en: 'English', 'zh-TW': '繁體中文', 'zh-CN': '简体中文' };

export const WORDS = Object.fromEntries(`
abilities|Capabilities|功能
account||帳戶|账户
actions||動作|操作
activity||活動|活动
Add||新增|添加
Add model||新增模型|添加模型
Add parameter||新增參數|添加参数
added||加入時間|添加时间
address||位址|地址
again|Ask again|重新產生|重新生成
aliases||別名|别名
aliasesHint|Separated by commas.|以逗號分隔|用逗号分隔
all.key|All keys|所有金鑰|所有密钥
all.model|All models|所有模型
all.status|All statuses|所有狀態|所有状态
allBut|All but the disabled|全部啟用，停用者除外|全部启用，停用的除外
allModels|All models|所有模型
allowedHint|One name or pattern a line, such as claude-*|每行一個名稱或樣式，例如 claude-*|每行一个名称或模式，例如 claude-*
allowedModels|Allowed models|允許的模型|允许的模型
Answer||回答
answered|Answer complete.|回答完成
applied|Apply models.yaml|套用 models.yaml|应用 models.yaml
Apply||套用|应用
As a table||以表格顯示|以表格显示
asCode|Request as code|以程式碼表示|请求代码
Attach||附加檔案|添加附件
automatic||自動|自动
balance|Points left|剩餘點數|剩余积分
bot|Bot on Poe|Poe 上的 bot
bot protocol||bot 協定|bot 协议
brokeOff|The answer was interrupted.|回答中斷了|回答中断了
bulkParameter|One parameter; without a value it is removed.|一個參數；不填值則移除|一个参数；不填值则移除
bulkReset|Reset names, parameters and options first|先重設名稱、參數與選項|先重置名称、参数和选项
by.keys|By key|依金鑰|按密钥
by.models|By model|依模型|按模型
byKey|by key|依金鑰|按密钥
byModel|by model|依模型|按模型
byOwner|Group by provider|依提供者分組|按提供商分组
byServer|Server default|伺服器預設|服务器默认
cachedTokens|Cached tokens|快取 tokens|缓存 tokens
Cancel||取消
cannotWrite|{path} cannot be written, so keys cannot be changed.|無法寫入 {path}，因此無法變更金鑰|无法写入 {path}，因此无法更改密钥
changes|Unsaved changes|未儲存的變更|未保存的更改
chat||對話|对话
Check my key||檢查我的金鑰|检查我的密钥
chosenOnly|Only chosen models|僅限選用的模型|仅限选用的模型
Clear all||全部清除
Clear filters||清除篩選|清除筛选
Clear key||清除金鑰|清除密钥
Clear selection||清除選取|清除选择
clearChats|Delete all {n} conversations kept in this browser?|要刪除保存在此瀏覽器的全部 {n} 個對話嗎？|要删除保存在此浏览器中的全部 {n} 个对话吗？
client||用戶端|客户端
clientKeyHint|A key of this server. It is not stored.|此伺服器的金鑰，不會儲存於此|此服务器的密钥，不会保存在此
Close||關閉|关闭
code.insufficient_quota|code.insufficient_quota|點數不足：|积分不足：
code.invalid_api_key|code.invalid_api_key|金鑰無效：|密钥无效：
code.model_not_found|code.model_not_found|沒有此模型：|没有此模型：
code.rate_limit_exceeded|code.rate_limit_exceeded|請求過於頻繁：|请求过于频繁：
code.upstream_error|code.upstream_error|Poe 發生錯誤：|Poe 发生错误：
compare|Compare with|比較對象|对比模型
conflict|models.yaml changed on the server|伺服器上的 models.yaml 已變更|服务器上的 models.yaml 已更改
conflictText|Load the new version and re-apply your changes ({n})?|要載入新版本並重新套用您的 {n} 項變更嗎？|要加载新版本并重新应用您的 {n} 项更改吗？
connect||連接程式|接入程序
connectTitle|Settings for other programs|其他程式的設定|其他程序的设置
context||上下文
Conversation||對話|对话
Conversations||對話紀錄|对话记录
Copied||已複製|已复制
Copy||複製|复制
Copy name||複製名稱|复制名称
counter.connections|Open|開啟|打开
counter.dead|Expired links|失效連結|失效链接
counter.evictions||逐出|淘汰
counter.hits||命中
counter.joined||合併|合并
counter.limiter|Rate limiter|速率限制
counter.misses||未命中
counter.pool|Connections|連線|连接
counter.queued|Waiting|等待中
counter.refused|Rejected|拒絕|拒绝
counter.running||進行中|进行中
counter.uploads|Upload cache|上傳快取|上传缓存
counter.waited|Delayed|曾等待
Counters||計數|计数
Create key||建立金鑰|创建密钥
customHint|A bot that is not in Poe’s list.|Poe 清單中沒有的 bot|Poe 列表中没有的 bot
Day||日期
days|Last {n} days|最近 {n} 天
days30|30 days|30 天
days7|7 days|7 天
Delete||刪除|删除
Delete key||刪除金鑰|删除密钥
deleteKey|Delete {name}? Programs that use this key lose access within two seconds.|要刪除 {name} 嗎？使用此金鑰的程式會在兩秒內失去存取權|要删除 {name} 吗？使用此密钥的程序会在两秒内失去访问权限
Description||說明|说明
Details||詳情|详情
disableSelected|Disable {n} selected|停用所選 {n} 個|停用所选 {n} 个
disableShown|Disable {n} shown|停用顯示的 {n} 個|停用显示的 {n} 个
Download||下載|下载
dropMine|Reload and discard my changes|重新載入並捨棄我的變更|重新加载并放弃我的更改
duration||耗時|耗时
Edit||編輯|编辑
editDrops|Later messages of this conversation are removed.|此訊息之後的內容會被移除|此消息之后的内容会被移除
editSelected|Edit {n} selected…|編輯所選 {n} 個…|编辑所选 {n} 个…
editShown|Edit {n} shown…|編輯顯示的 {n} 個…|编辑显示的 {n} 个…
elsewhere|Use in other programs|用於其他程式|用于其他程序
enabled||啟用|启用
enableSelected|Enable {n} selected|啟用所選 {n} 個|启用所选 {n} 个
enableShown|Enable {n} shown|啟用顯示的 {n} 個|启用显示的 {n} 个
endpoint||端點|端点
errorRate|Error rate|錯誤率|错误率
errors||錯誤|错误
estimated|{n} estimated|其中估計 {n}|其中估算 {n}
exists|{name} is already in the list|{name} 已在清單中|{name} 已在列表中
expires|Expires|到期日
Export||匯出|导出
facts|Model details|模型資訊|模型信息
favouriteOne|Favourite: {name}|我的最愛：{name}|收藏：{name}
favourites||我的最愛|收藏
fileHint|Replaces the whole file; the previous version is kept as models.yaml.bak. Masked secrets stay unchanged.|會取代整個檔案，前一版保留為 models.yaml.bak。已遮蔽的金鑰維持不變|会替换整个文件，上一版保留为 models.yaml.bak。已遮蔽的密钥保持不变
fileUnsaved|Unsaved changes on this page will be lost.|頁面上未儲存的變更將會遺失|页面上未保存的更改将会丢失
Filters||篩選|筛选
firstByte|First byte|首位元組|首字节
firstSteps|First steps|開始使用|开始使用
firstToken|first token {time}|首個 token {time}|首个 token {time}
firstTokenTime|Time to first token|首個 token 時間|首个 token 时间
fixedKey|Set by PROXY_API_KEYS|由 PROXY_API_KEYS 設定|由 PROXY_API_KEYS 设置
Health||狀態|状态
in the prompt||寫入提示詞|写入提示词
Input → output||輸入 → 輸出|输入 → 输出
inspection|Record prompts and answers|記錄提示詞與回答|记录提示词和回答
inspectionHint|Prompts and answers are recorded in memory with secrets redacted. Everyone who can open this page can read them. Turning this off deletes them.|提示詞與回答會在遮蔽機密資訊後記錄於記憶體，能開啟此頁的人都看得到；關閉即清除|提示词和回答会在遮蔽敏感信息后记录在内存中，能打开此页的人都看得到；关闭即清除
is.changed||已變更|已更改
is.custom||自訂|自定义
is.disabled||已停用
is.enabled||已啟用|已启用
is.favourite|Favourites|我的最愛|收藏
is.mapped|Renamed|已改名
is.paints|Image output|圖片輸出|图片输出
is.preset|Parameters set|已設參數|已设参数
is.replace|Rewrites|會改寫|会改写
is.sees|Image input|圖片輸入|图片输入
is.sound|Audio|音訊|音频
is.tools||工具
is.video||影片|视频
is.web|Web search|網路搜尋|联网搜索
jsonAnswer|JSON answer|以 JSON 回答|以 JSON 回答
keptHere|Conversations stay in this browser until you clear them.|對話保存在此瀏覽器，清除前一直保留|对话保存在此浏览器中，清除前一直保留
key||金鑰|密钥
key.active|Active|使用中
key.disabled|Disabled|已停用
key.expired|Expired|已到期
keyHint|Replace KEY with your own key|請將 KEY 換成您的金鑰|请将 KEY 换成您的密钥
keyIn|Key in the environment variable {name}:|金鑰放在環境變數 {name}：|密钥放在环境变量 {name}：
keys||金鑰|密钥
keysNeedPoe|Keys need a Poe key on the server: set POE_API_KEY.|發出金鑰前，請先在伺服器設定 POE_API_KEY|发放密钥前，请先在服务器设置 POE_API_KEY
keysOpen|No key is required yet: create one, and programs need it.|目前不需金鑰；建立後程式就必須使用|目前不需要密钥；创建后程序就必须使用
keysRequired|Programs need one of these keys.|程式須使用下列其中一把金鑰|程序必须使用以下任一密钥
keyWorks|The key works: {points} points left, {models} models.|金鑰有效：剩餘 {points} 點，{models} 個模型|密钥有效：剩余 {points} 积分，{models} 个模型
kind.audio|Sound|音訊|音频
kind.image|Picture|圖片|图片
kind.video||影片|视频
Language||語言|语言
lasts|lasts about {n} days at {pace} points a day|以每日 {pace} 點計，約可用 {n} 天|按每日 {pace} 积分计，约可用 {n} 天
lastUsed|Last used|上次使用
latestErrors|Latest errors|最近的錯誤|最近的错误
Level||層級|级别
limit.daily_cost|Dollars per day|每日美元|每日美元
limit.daily_points|Points per day|每日點數|每日积分
limit.monthly_cost|Dollars per month|每月美元|每月美元
limit.monthly_points|Points per month|每月點數|每月积分
limit.requests_per_minute|Requests per minute|每分鐘請求數|每分钟请求数
limits||限制
loading|Loading…|載入中…|加载中…
loadMedia|Load pictures, sound and video of Poe at once|自動載入 Poe 的圖片、音訊與影片|自动加载 Poe 的图片、音频和视频
localOnly|This server listens on this machine only (HOST).|此伺服器只接受本機連線（HOST）|此服务器只接受本机连接（HOST）
Log||日誌|日志
Maximum output||輸出上限|输出上限
meaning||意義|含义
measure.points|Points|點數|积分
measure.requests|Requests|請求|请求
measure.tokens|Tokens|tokens
Memory||記憶體|内存
mode|Models without an entry|未列出的模型
model||模型
models||模型
name||名稱|名称
needsKey|Enter your Poe API key (poe.com/api/keys)|請輸入您的 Poe API 金鑰（poe.com/api/keys）|请输入您的 Poe API 密钥（poe.com/api/keys）
needsModel|Choose a model first.|請先選擇模型|请先选择模型
needsName|Enter a name.|請輸入名稱|请输入名称
needsPositive|Expected a number above 0|應為大於 0 的數字|应为大于 0 的数字
needsWhole|Expected a whole number above 0|應為大於 0 的整數|应为大于 0 的整数
never||從未|从未
New chat||新對話|新对话
noErrors|No errors since the start.|啟動以來沒有錯誤|启动以来没有错误
noKey|No key set|尚未設定金鑰|尚未设置密钥
noKeys|No keys yet.|尚無金鑰|尚无密钥
noModel|No second model|不比較|不对比
noPace|no points used in the last 7 days|最近 7 天未使用點數|最近 7 天未使用积分
noRequests|No requests in this period.|這段期間沒有請求|此时段没有请求
not set||未設定|未设置
notApplied|models.yaml is not applied: every bot is listed under its own name.|未套用 models.yaml：所有 bot 皆以原名列出|未应用 models.yaml：所有 bot 均以原名列出
note||備註|备注
nothing|No entries.|沒有項目|没有项目
nothingRuns|Nothing is running.|沒有進行中的請求|没有进行中的请求
notSetBut|Not set (Poe: {value})|未設定（Poe：{value}）|未设置（Poe：{value}）
off||關|关
on||開|开
only.errors|Errors|錯誤|错误
only.good|Successful|成功
only.running|Running|進行中|进行中
only.stopped|Stopped|已停止
openLink|Open {name}|開啟 {name}|打开 {name}
Options||選項|选项
order.context|Longest context|上下文最長|上下文最长
order.created|Newest|最新
order.name||名稱|名称
order.price|Lowest price|價格最低|价格最低
otherFields|Other fields|其他欄位|其他字段
overview||總覽|概览
owner|Provider|提供者|提供商
ownKeyHint|Your Poe key. It is not stored.|您的 Poe 金鑰，不會儲存|您的 Poe 密钥，不会保存
Parameters||參數|参数
partial|Earlier days are not included.|未包含較早的日期|未包含更早的日期
Pause||暫停|暂停
pick.by|Group by|分組|分组
pick.measure|Measure|指標|指标
pick.range|Period|期間|时段
playFile|Load {name}|載入 {name}|加载 {name}
Poe API key||Poe API 金鑰|Poe API 密钥
Poe endpoint||Poe 端點|Poe 端点
poeKeyHint|Stored in this browser tab only.|僅儲存於此瀏覽器分頁|仅保存在此浏览器标签页
Points||點數|积分
pointsHint|Usage is in points. Numbers are estimates until Poe’s history confirms them.|用量單位為點數；在 Poe 紀錄確認前為估計值|用量单位为积分；在 Poe 记录确认前为估算值
presets|Default parameters|預設參數|默认参数
presetsHint|Sent with every request that does not set them.|請求未自行設定時一律傳送|请求未自行设置时一律发送
price|Price|價格|价格
priceEach|{price} a request|每次 {price}
priceFree|Free or not listed|免費或未列出|免费或未列出
pricePoints|{n} points a request|每次 {n} 點|每次 {n} 积分
pricePointsTokens|{input} in / {output} out points per 1k tokens|每千 tokens 點數：輸入 {input} / 輸出 {output}|每千 tokens 积分：输入 {input} / 输出 {output}
priceTokens|{input} in / {output} out per M|每百萬 輸入 {input} / 輸出 {output}|每百万 输入 {input} / 输出 {output}
Programs||程式|程序
range.24h|24 hours|24 小時|24 小时
range.30d|30 days|30 天
range.7d|7 days|7 天
read-only||唯讀|只读
readOnly|models.yaml cannot be saved: {path} is read-only. Mount its directory with write access and start the server again.|無法儲存 models.yaml：{path} 為唯讀。請以可寫入的方式掛載其目錄，再重新啟動伺服器|无法保存 models.yaml：{path} 为只读。请以可写方式挂载其目录，再重新启动服务器
readOnlyShort|Read-only: the file cannot be saved.|唯讀：無法儲存檔案|只读：无法保存文件
reapplied|Your changes are re-applied to the new file. Check them, then save.|已在新檔案上重新套用您的變更，請檢查後儲存|已在新文件上重新应用您的更改，请检查后保存
reapply|Reload and re-apply my changes|重新載入並重新套用我的變更|重新加载并重新应用我的更改
Reasoning||思考過程|思考过程
reloaded|Reloaded.|已重新載入|已重新加载
Remove model||移除模型
removed||已移除
removeOne|Remove {name}|移除 {name}
rename|Display name (model ID)|顯示名稱（模型 ID）|显示名称（模型 ID）
renameHint|Clients use this name. Leave it empty to keep the bot’s own name.|用戶端使用此名稱；留空則沿用 bot 原名|客户端使用此名称；留空则沿用 bot 原名
replace|Bot replaces its answer|bot 會取代已送出的回答|bot 会替换已发出的回答
replaceAnyway|Replace anyway|仍要取代|仍要替换
replaceFile|Save file|儲存檔案|保存文件
replaceHint|Clients receive only the final version.|用戶端只會收到最後版本|客户端只会收到最终版本
Request||請求|请求
replica||副本|副本
replicas|Replicas today|今天各副本|今天各副本
requests||請求|请求
resets|until {time}|重置時間 {time}|重置时间 {time}
restore|Restore previous version|還原前一版|恢复上一版
retry|Try again|重試|重试
Route||路徑|路由
running||進行中|进行中
runningNow|{n} running|{n} 個進行中|{n} 个进行中
Save||儲存|保存
saveAsk|Save and ask|儲存並重新提問|保存并重新提问
saved|Saved and applied.|已儲存並生效|已保存并生效
sayHint|Type a message (Enter sends, Shift+Enter adds a line)|輸入訊息（Enter 傳送，Shift+Enter 換行）|输入消息（Enter 发送，Shift+Enter 换行）
searchLog|Search the log|搜尋日誌|搜索日志
searchModels|Search models  ( / )|搜尋模型 ( / )|搜索模型 ( / )
searchRequests|Search requests  ( / )|搜尋請求 ( / )|搜索请求 ( / )
Sections||區段|栏目
selected||選取|选择
selectOne|Select {name}|選取 {name}|选择 {name}
Send||傳送|发送
serverKey|Using the server’s key|使用伺服器的金鑰|使用服务器的密钥
settings||設定|设置
settingsHint|Values in effect. Secrets are masked.|目前生效的設定。金鑰已遮蔽|当前生效的设置。密钥已遮蔽
Show||檢視|查看
Show usage||顯示用量|显示用量
shownOf|{n} of {all} models|{n} / {all} 個模型|{n} / {all} 个模型
shownOnce|Copy the key now: it is shown this once.|請立即複製，金鑰只會顯示這一次|请立即复制，密钥只显示这一次
showPicture|Show {name}|顯示 {name}|显示 {name}
Sign out||登出|退出登录
skip|Skip to content|跳到內容|跳到内容
sort|Sort by|排序
source||來源|来源
source.default||預設|默认
source.environment||環境變數|环境变量
source.file||檔案|文件
source.flag||命令列參數|命令行参数
sourceCache|Cannot reach Poe: the list shown was loaded {age} ago.|無法連上 Poe：顯示 {age} 前取得的清單|无法连接 Poe：显示 {age} 前获取的列表
sourceNone|Cannot reach Poe: only the models in models.yaml are listed.|無法連上 Poe：僅列出 models.yaml 中的模型|无法连接 Poe：仅列出 models.yaml 中的模型
spent|Points used in {n} days|{n} 天用量
state.broken|Invalid|無效|无效
state.config_broken|models.yaml invalid|models.yaml 無效|models.yaml 无效
state.draining|Shutting down|正在停止
state.good|Valid|有效
state.none||無|无
state.ready||就緒|就绪
status||狀態|状态
stepCheck|Check it here.|在此檢查金鑰。|在此检查密钥。
stepGet|Get a Poe API key:|取得 Poe API 金鑰：|获取 Poe API 密钥：
stepOwn|Each program sends its own Poe key. Nothing has to be set up here; see below.|各程式自行傳送 Poe 金鑰，伺服器無須設定；做法見下方|各程序自行发送 Poe 密钥，服务器无需设置；做法见下方
stepServer|The server keeps the key, and programs get keys of the server:|由伺服器保管金鑰，程式使用伺服器發出的金鑰：|由服务器保管密钥，程序使用服务器发出的密钥：
stepUse|Use it, in one of two ways:|選擇一種使用方式：|选择一种使用方式：
Stop||停止
Stopped.||已停止
stream||串流|流式
suffixes|Names with reasoning suffixes|推理後綴名稱|推理后缀名称
suffixesHint|For example {name}-high.|例如 {name}-high
system|System prompt|系統提示詞|系统提示词
Table||表格
Temperature||溫度|温度
Theme||主題|主题
theme.auto||自動|自动
theme.dark||深色
theme.light||淺色|浅色
thoughtTokens|{n} for reasoning|其中思考 {n}
time||時間|时间
today||今天
tokens||Tokens
tokensIn|Input tokens|輸入 tokens|输入 tokens
tokensOut|Output tokens|輸出 tokens|输出 tokens
toolsNative|Native|原生
toolsWay|Tool definitions|工具定義|工具定义
topBots|Points by model|各模型點數用量|各模型积分用量
total|total {time}|總計 {time}|总计 {time}
Totals||總計|总计
tryHint|Choose a model and send a message.|請選擇模型並傳送訊息|请选择模型并发送消息
Turn on||開啟|开启
unchanged||不變|不变
Undo||復原|撤销
Undo all||全部復原|全部撤销
unfit|{name}: expected {kind} {range}|{name}：應為 {kind} {range}|{name}：应为 {kind} {range}
unlimited|No limit|不限
unreachable|Cannot reach the server. What is shown may be out of date. ({error})|無法連線至伺服器，顯示的內容可能已過時（{error}）|无法连接服务器，显示的内容可能已过时（{error}）
unsaved|Unsaved changes: {n}|未儲存的變更：{n}|未保存的更改：{n}
upFor|Running for {time}|已運作 {time}|已运行 {time}
Upload||上傳|上传
uploads||上傳|上传
usage|Points per day|每日點數|每日积分
use|Usage|用量
value||值
Version||版本
waiting|Waiting for Poe… {time}|正在等待 Poe… {time}|正在等待 Poe… {time}
warning.config_broken|models.yaml is invalid; the last valid version, if any, stays in effect.|models.yaml 無效：沿用上一份有效的設定（若有）|models.yaml 无效：沿用上一份有效的配置（若有）
warning.config_dir|CONFIG_DIR cannot be written: what is saved here is lost at a restart, or cannot be saved. "poe2openai check" gives the reason.|無法寫入 CONFIG_DIR：在此儲存的內容無法保存，或於重新啟動後遺失。原因請見「poe2openai check」。|无法写入 CONFIG_DIR：在此保存的内容无法保存，或在重启后丢失。原因请见“poe2openai check”。
warning.default_password|The built-in password is in use: set ADMIN_PASSWORD.|仍在使用內建密碼：請設定 ADMIN_PASSWORD|仍在使用内置密码：请设置 ADMIN_PASSWORD
where.settings|In the program’s settings|在程式的設定中|在程序的设置中
where.shell|In a terminal|在終端機執行|在终端执行
who.admin|This page|此頁面|本页面
who.none|Without a key|無金鑰|无密钥
who.other|Others|其他
who.own|Own Poe keys|自備 Poe 金鑰|自备 Poe 密钥
You||您
Your message||您的訊息|您的消息
`.trim().split('\n').map((line) => line.split('|')).map(([key, en, tw, cn = tw]) => [key, [en || key.replace(/^(\w+\.)?\w/, (start) => start.slice(-1).toUpperCase()), tw, cn]]));

let column = 0;

export function setLanguage(name) {
	column = Math.max(0, Object.keys(LANGUAGES).indexOf(name));
}

export const number = (value) => (value == null ? '–' : new Intl.NumberFormat(Object.keys(LANGUAGES)[column]).format(value));

/** Text for a key, with placeholders filled in and numbers formatted; an unknown key is returned as it is. */
export function t(key, values = {}) {
	const words = Object.hasOwn(WORDS, key) ? WORDS[key][column] : key;
	return words.replace(/\{(\w+)\}/g, (hole, name) => (typeof values[name] === 'number' ? number(values[name]) : values[name] ?? hole));
}
